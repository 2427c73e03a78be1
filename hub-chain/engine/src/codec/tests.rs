//! Tests of the codec: it is total, and it has one spelling for each value.

use super::{sync::WireBlock, *};
use arc_malachitebft_app_channel::app::types::{
    PeerId,
    core::{ExtendedCommitCertificate, ExtendedCommitSignature},
    sync::RawDecidedValue,
};
use arc_malachitebft_sync::{ValueRequest, ValueResponse};
use proptest::prelude::*;

fn hash() -> impl Strategy<Value = BlockId> {
    any::<[u8; 32]>().prop_map(BlockId)
}

fn signature() -> impl Strategy<Value = Signature> {
    prop::collection::vec(any::<u8>(), 65).prop_map(|bytes| Signature(bytes.try_into().unwrap()))
}

fn voter() -> impl Strategy<Value = Voter> {
    any::<[u8; 20]>().prop_map(|bytes| Voter(Address(bytes)))
}

fn level() -> impl Strategy<Value = Level> {
    any::<u64>().prop_map(Level)
}

fn some_round() -> impl Strategy<Value = Round> {
    (0..=ROUND_MAX).prop_map(Round::new)
}

fn any_round() -> impl Strategy<Value = Round> {
    prop_oneof![Just(Round::Nil), some_round()]
}

fn value() -> impl Strategy<Value = NilOrVal<BlockId>> {
    prop_oneof![Just(NilOrVal::Nil), hash().prop_map(NilOrVal::Val)]
}

fn kind() -> impl Strategy<Value = VoteType> {
    prop_oneof![Just(VoteType::Prevote), Just(VoteType::Precommit)]
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        (any::<u64>(), 0..=ROUND_MAX, any::<[u8; 20]>()).prop_map(|(height, round, proposer)| {
            Part::Init { height: Height(height), round, proposer: Address(proposer) }
        }),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| Part::Data(bytes.into())),
        signature().prop_map(Part::Fin),
    ]
}

fn stream() -> impl Strategy<Value = StreamMessage<Part>> {
    let content = prop_oneof![part().prop_map(StreamContent::Data), Just(StreamContent::Fin)];
    (prop::collection::vec(any::<u8>(), 0..=STREAM_ID_BYTES_MAX), 0..=PARTS_MAX, content).prop_map(
        |(id, sequence, content)| StreamMessage::new(StreamId::new(id.into()), sequence, content),
    )
}

fn vote() -> impl Strategy<Value = SignedMessage<Context, Vote>> {
    (kind(), level(), some_round(), value(), voter(), signature()).prop_map(
        |(kind, height, round, value, voter, signature)| {
            SignedMessage::new(Vote { kind, height, round, value, voter }, signature)
        },
    )
}

fn consensus() -> impl Strategy<Value = SignedConsensusMsg<Context>> {
    let proposal = (level(), some_round(), hash(), any_round(), voter(), signature()).prop_map(
        |(height, round, block, pol_round, proposer, signature)| {
            let value = Value(block);
            let proposal = Proposal { height, round, value, pol_round, proposer };
            SignedConsensusMsg::Proposal(SignedMessage::new(proposal, signature))
        },
    );
    prop_oneof![vote().prop_map(SignedConsensusMsg::Vote), proposal]
}

fn polka() -> impl Strategy<Value = PolkaCertificate<Context>> {
    (level(), some_round(), hash(), prop::collection::vec((voter(), signature()), 0..5)).prop_map(
        |(height, round, value_id, signatures)| PolkaCertificate {
            height,
            round,
            value_id,
            polka_signatures: signatures
                .into_iter()
                .map(|(voter, signature)| PolkaSignature::new(voter, signature))
                .collect(),
        },
    )
}

fn liveness() -> impl Strategy<Value = LivenessMsg<Context>> {
    let votes = prop::collection::vec((kind(), value(), voter(), signature()), 0..5);
    let skip =
        (level(), some_round(), any::<bool>(), votes).prop_map(|(height, round, skip, votes)| {
            LivenessMsg::SkipRoundCertificate(RoundCertificate {
                height,
                round,
                cert_type: if skip {
                    RoundCertificateType::Skip
                } else {
                    RoundCertificateType::Precommit
                },
                round_signatures: votes
                    .into_iter()
                    .map(|(kind, value, voter, signature)| {
                        RoundSignature::new(kind, value, voter, signature)
                    })
                    .collect(),
            })
        });
    prop_oneof![
        vote().prop_map(LivenessMsg::Vote),
        polka().prop_map(LivenessMsg::PolkaCertificate),
        skip
    ]
}

fn proof() -> impl Strategy<Value = ValidatorProof<Context>> {
    (any::<[u8; 20]>(), prop::collection::vec(any::<u8>(), 0..=PEER_ID_BYTES_MAX), signature())
        .prop_map(|(key, peer, signature)| ValidatorProof::new(key.to_vec(), peer, signature))
}

fn proposed() -> impl Strategy<Value = ProposedValue<Context>> {
    (level(), some_round(), any_round(), voter(), hash(), any::<bool>()).prop_map(
        |(height, round, valid_round, proposer, block, valid)| ProposedValue {
            height,
            round,
            valid_round,
            proposer,
            value: Value(block),
            validity: Validity::from_bool(valid),
        },
    )
}

fn peer() -> PeerId {
    let keypair = arc_malachitebft_app_channel::app::types::Keypair::ed25519_from_bytes([7; 32]);
    PeerId::from_bytes(&keypair.unwrap().public().to_peer_id().to_bytes()).unwrap()
}

fn response() -> impl Strategy<Value = Response<Context>> {
    let block = (
        prop::collection::vec(any::<u8>(), 0..100),
        some_round(),
        hash(),
        prop::collection::vec((voter(), signature()), 0..4),
    );
    (0..u64::MAX / 2, prop::collection::vec(block, 0..4)).prop_map(|(first, blocks)| {
        let values = (first..).zip(blocks).map(|(height, (bytes, round, id, signatures))| {
            let certificate = ExtendedCommitCertificate {
                height: Level(height),
                round,
                value_id: id,
                commit_signatures: signatures
                    .into_iter()
                    .map(|(voter, signature)| ExtendedCommitSignature::new(voter, signature, None))
                    .collect(),
            };
            RawDecidedValue::new(bytes.into(), certificate)
        });
        Response::ValueResponse(ValueResponse::new(Level(first), values.collect()))
    })
}

/// What one value of a type must keep, and what any bytes must.
fn round_trip<T>(value: &T) -> Result<(), TestCaseError>
where
    T: PartialEq + std::fmt::Debug,
    TomboloCodec: Codec<T, Error = CodecError>,
{
    let bytes = TomboloCodec.encode(value).unwrap();
    prop_assert_eq!(&TomboloCodec.decode(bytes.clone()).unwrap(), value);
    let mut longer = bytes.to_vec();
    longer.push(0);
    let malformed =
        |result: Result<T, CodecError>| matches!(result, Err(CodecError::Malformed { .. }));
    prop_assert!(malformed(TomboloCodec.decode(longer.into())));
    let shorter = bytes.slice(..bytes.len() - 1);
    prop_assert!(malformed(TomboloCodec.decode(shorter)));
    Ok(())
}

fn total<T>(bytes: &[u8]) -> Result<(), TestCaseError>
where
    TomboloCodec: Codec<T, Error = CodecError>,
{
    // What decodes at all is encoded back to the same bytes.
    if let Ok(value) = TomboloCodec.decode(Bytes::copy_from_slice(bytes)) {
        prop_assert_eq!(&TomboloCodec.encode(&value).unwrap()[..], bytes);
    }
    Ok(())
}

fn total_of_all(bytes: &[u8]) -> Result<(), TestCaseError> {
    total::<Part>(bytes)?;
    total::<StreamMessage<Part>>(bytes)?;
    total::<SignedConsensusMsg<Context>>(bytes)?;
    total::<LivenessMsg<Context>>(bytes)?;
    total::<PolkaCertificate<Context>>(bytes)?;
    total::<ValidatorProof<Context>>(bytes)?;
    total::<ProposedValue<Context>>(bytes)?;
    total::<Status<Context>>(bytes)?;
    total::<Request<Context>>(bytes)?;
    total::<Response<Context>>(bytes)
}

proptest! {
    #[test]
    fn a53_any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        total_of_all(&bytes)?;
    }

    /// Bytes near the valid ones: a changed byte, and a claimed length far above what follows.
    #[test]
    fn a53_damaged_messages_are_decoded_or_refused(
        stream in stream(), liveness in liveness(), response in response(),
        position: prop::sample::Index, byte: u8,
    ) {
        for bytes in [
            TomboloCodec.encode(&stream).unwrap(),
            TomboloCodec.encode(&liveness).unwrap(),
            TomboloCodec.encode(&response).unwrap(),
        ] {
            let mut bytes = bytes.to_vec();
            let position = position.index(bytes.len());
            bytes[position] = byte;
            total_of_all(&bytes)?;
            let end = bytes.len().min(position + 4);
            bytes[position..end].fill(0xff);
            total_of_all(&bytes)?;
        }
    }

    #[test]
    fn a53_messages_survive_the_wire(
        part in part(), stream in stream(), consensus in consensus(), liveness in liveness(),
        polka in polka(), proof in proof(), proposed in proposed(), response in response(),
        first: u64, last: u64,
    ) {
        round_trip(&part)?;
        round_trip(&stream)?;
        round_trip(&consensus)?;
        round_trip(&liveness)?;
        round_trip(&polka)?;
        round_trip(&proof)?;
        round_trip(&proposed)?;
        let length = TomboloCodec.encoded_len(&response).unwrap();
        prop_assert_eq!(length, TomboloCodec.encode(&response).unwrap().len());
        round_trip(&response)?;
        round_trip(&Status {
            peer_id: peer(), tip_height: Level(first), history_min_height: Level(last),
        })?;
        round_trip(&Request::ValueRequest(ValueRequest::new(Level(first)..=Level(last))))?;
    }
}

fn out_of_range<T>(wire: &impl BorshSerialize)
where
    T: std::fmt::Debug,
    TomboloCodec: Codec<T, Error = CodecError>,
{
    let bytes = borsh::to_vec(wire).unwrap();
    let decoded: Result<T, CodecError> = TomboloCodec.decode(bytes.into());
    assert!(matches!(decoded, Err(CodecError::Range { .. })), "{decoded:?}");
}

#[test]
fn a53_sizes_and_rounds_are_bounded() {
    let vote = |round| WireVote {
        precommit: true,
        height: 1,
        round,
        block: None,
        voter: Address::ZERO,
        signature: Signature([0; 65]),
    };
    out_of_range::<SignedConsensusMsg<Context>>(&WireConsensus::Vote(vote(ROUND_MAX + 1)));
    out_of_range::<LivenessMsg<Context>>(&WireLiveness::Vote(vote(u32::MAX)));
    let signatures = vec![(Address::ZERO, Signature([0; 65])); VALIDATORS_MAX + 1];
    let polka = WirePolka { height: 1, round: 0, block: BlockId::ZERO, signatures };
    out_of_range::<PolkaCertificate<Context>>(&polka);
    out_of_range::<LivenessMsg<Context>>(&WireLiveness::Polka(polka));
    out_of_range::<Part>(&WirePart::Data(vec![0; CHUNK_BYTES_MAX + 1]));
    let message = |stream, sequence| WireStream { stream, sequence, part: None };
    out_of_range::<StreamMessage<Part>>(&message(vec![0; STREAM_ID_BYTES_MAX + 1], 0));
    out_of_range::<StreamMessage<Part>>(&message(vec![0], PARTS_MAX + 1));
    let peer = vec![0; PEER_ID_BYTES_MAX + 1];
    out_of_range::<Status<Context>>(&WireStatus { peer, tip: 0, lowest: 0 });
}

#[test]
fn a53_a_length_without_bytes_costs_nothing() {
    // Four gigabytes are claimed, none follow.
    for bytes in [[1u8, 0xff, 0xff, 0xff, 0xff].as_slice(), &[0xff; 4]] {
        let part: Result<Part, _> = TomboloCodec.decode(Bytes::copy_from_slice(bytes));
        assert!(matches!(part, Err(CodecError::Malformed { .. })));
    }
}

fn blocks(first: u64, heights: &[u64]) -> Bytes {
    let block = |height: &u64| WireBlock {
        block: Vec::new(),
        height: *height,
        round: 0,
        id: BlockId::ZERO,
        signatures: Vec::new(),
    };
    let blocks = heights.iter().map(block).collect();
    borsh::to_vec(&WireResponse::Blocks { first, blocks }).unwrap().into()
}

/// A peer that leaves gaps or claims heights is refused as a whole, before anything is counted.
#[test]
fn a30_blocks_that_do_not_follow_each_other_are_refused() {
    let decode = |bytes| -> Result<Response<Context>, CodecError> { TomboloCodec.decode(bytes) };
    assert!(decode(blocks(5, &[5, 6, 7])).is_ok());
    assert!(matches!(decode(blocks(5, &[5, 7])), Err(CodecError::Gap { found: 7, expected: 6 })));
    assert!(matches!(decode(blocks(5, &[6])), Err(CodecError::Gap { found: 6, expected: 5 })));
    assert!(matches!(decode(blocks(5, &[5, 5])), Err(CodecError::Gap { found: 5, expected: 6 })));
    let last = decode(blocks(u64::MAX, &[u64::MAX, 0]));
    assert!(matches!(last, Err(CodecError::Gap { found: 0, .. })));
    let many: Vec<u64> = (1..=SYNC_BLOCKS_MAX as u64 + 1).collect();
    assert!(matches!(decode(blocks(1, &many)), Err(CodecError::Range { .. })));
}

/// A status may claim any height; arithmetic on it neither overflows nor wraps.
#[test]
fn a30_the_highest_claim_is_harmless() {
    use arc_malachitebft_app_channel::app::types::core::Height as _;
    assert_eq!(Level(u64::MAX).increment_by(7), Level(u64::MAX));
    assert_eq!(Level(3).decrement_by(4), None);
    let status = Status::<Context> {
        peer_id: peer(),
        tip_height: Level(u64::MAX),
        history_min_height: Level(u64::MAX),
    };
    let bytes = TomboloCodec.encode(&status).unwrap();
    assert_eq!(TomboloCodec.decode(bytes).ok(), Some(status));
}
