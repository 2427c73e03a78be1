//! What the council of a gateway on a real chain does once nothing else helps, and what the hub makes of
//! it: both ends of a lane go on in the next epoch, and a release is on record at the hub.

use crate::{
    attacks::{World, on_anvil},
    hub::{RELAYER, key},
    link::{ACCOUNT, COUNCIL, PAYER, RELEASE_PERIOD_MS, Relayer, data_leaf, until},
};
use alloy::{hex, sol, sol_types::SolCall};
use serde_json::json;
use std::sync::Arc;
use tombolo_adapter::{Sink as _, Source as _, Standing};
use tombolo_crypto::{digest, keccak256::keccak256};
use tombolo_evm::EvmAdapter;
use tombolo_hub::{govern::Act, query};
use tombolo_ledger::lanes::LinkStatus;
use tombolo_test_nodes::{Sender, quantity};
use tombolo_types::{
    Address, Epoch, Height, MessageNumber, UnixMillis,
    action::Terms,
    attested::AttestedAnchor,
    council::{ActKind, Release, Reopening},
    header::Anchor,
    id::{BlockId, Xid},
    lane::{DATA_LANE, Direction, LaneKey, LaneLeaf, Message},
    message::Body,
};

sol! {
    struct Leaf {
        bytes32 link;
        uint8 direction;
        uint32 lane;
        uint32 epoch;
        uint64 size;
        bytes32 root;
        uint32 peerEpoch;
        uint64 received;
        bytes32 receivedRoot;
        uint64 peerHeight;
        bytes32 peerId;
        uint32 trustEpoch;
    }
    struct Statement { uint64 height; bytes32 blockId; uint64 time; uint32 keyEpoch; bytes signatures; }
    function deviation(Leaf leaf, Statement statement) external;
    function nodeKeys() external view returns (address[] keys, uint32 threshold, uint32 keyEpoch);
    function newest() external view returns (uint64 height, uint64 time, bytes32 blockId);
    function deposit(bytes32 asset, uint128 amount, bytes32 xid) external payable returns (uint128 credited);
    function participant(bytes32 xid) external view
        returns (uint8 standing, uint8 class, uint64 deadline, uint32 trustEpoch, uint8 decided);
    function balanceOf(address account, bytes32 asset) external view returns (uint128);
    function announceAct(uint8 act, uint32 trustEpoch, bytes data, bytes signatures) external;
    function takeEffect(bytes data) external;
    function sendAgain(uint32 lane, bytes message, bytes32[] path) external;
}

impl World {
    /// Two members of the council announce an act.
    fn announce(&self, act: ActKind, trust_epoch: u32, data: &[u8]) {
        let chain = self.linked.config.chain();
        let digest = digest::council_act(chain, act.number(), trust_epoch, keccak256(data));
        let mut members = COUNCIL.map(key);
        members.sort_by_key(|member| member.address());
        let signatures: Vec<u8> =
            members[..2].iter().flat_map(|member| member.sign(digest).0).collect();
        let call = announceActCall {
            act: act.number(),
            trustEpoch: trust_epoch,
            data: data.to_vec().into(),
            signatures: signatures.into(),
        };
        self.linked.call(self.linked.control, &call.abi_encode());
    }

    /// Anybody lets an act hold whose delay is over.
    fn take_effect(&self, data: &[u8]) {
        let call = takeEffectCall { data: data.to_vec().into() };
        self.linked.call(self.linked.control, &call.abi_encode());
    }

    /// What a contract answers.
    fn ask<C: SolCall>(&self, of: Address, call: &C) -> C::Return {
        let data = format!("0x{}", hex::encode(call.abi_encode()));
        let answer =
            self.call("eth_call", json!([{ "to": of.to_string(), "data": data }, "latest"]));
        let answer = hex::decode(&answer.as_str().unwrap()[2..]).unwrap();
        C::abi_decode_returns(&answer).unwrap()
    }

    /// The standing of a commit in the vault, and what the payer has there.
    fn vault(&self, xid: Xid) -> (u8, u128) {
        let vault = self.linked.vault;
        let it = self.ask(vault, &participantCall { xid: xid.0.into() });
        let (account, asset) = (key(PAYER).address().0.into(), [0; 32].into());
        (it.standing, self.ask(vault, &balanceOfCall { account, asset }))
    }

    /// The one node of the link signs another block of the hub at the height that the gateway knows.
    async fn contradict(&self) {
        let newest = self.ask(self.linked.gateway, &newestCall {});
        let it = self.on_hub().await;
        let block = BlockId([9; 32]);
        let (height, time) = (Height(newest.height), UnixMillis(newest.time));
        let key_epoch = self.ask(self.linked.gateway, &nodeKeysCall {}).keyEpoch;
        let digest = digest::attested_head(key_epoch, digest::lane_leaf(&it), height, block, time);
        let leaf = Leaf {
            link: it.link.0.into(),
            direction: it.direction,
            lane: it.lane.0,
            epoch: it.epoch.0,
            size: it.size,
            root: it.root.0.into(),
            peerEpoch: it.peer_epoch.0,
            received: it.received,
            receivedRoot: it.received_root.0.into(),
            peerHeight: it.peer_height.0,
            peerId: it.peer_id.0.into(),
            trustEpoch: it.trust_epoch,
        };
        let statement = Statement {
            height: newest.height,
            blockId: block.0.into(),
            time: newest.time,
            keyEpoch: key_epoch,
            signatures: key(ACCOUNT).sign(digest).0.to_vec().into(),
        };
        let call = deviationCall { leaf, statement };
        self.linked.call(self.linked.gateway, &call.abi_encode());
    }

    /// The chain's end of the data lane, and where its link stands.
    async fn gateway(&self, adapter: &Arc<EvmAdapter>) -> (LaneLeaf, Standing) {
        let head = adapter.head(self.linked.link, &self.linked.follower().await).await.unwrap();
        (data_leaf(&head), head.standing)
    }

    /// Where the hub may follow the chain from, by the word of the link's one node.
    async fn anchor(&self, adapter: &Arc<EvmAdapter>) -> Vec<u8> {
        let newest = adapter.newest_head().await.unwrap();
        let anchor = AttestedAnchor {
            chain: self.linked.config.chain(),
            height: newest.height,
            block_id: newest.block_id,
            time: newest.time,
            keys: vec![key(RELAYER).address()],
            threshold: 1,
            bound_kind: String::new(),
            bound_anchor: Vec::new(),
        };
        anchor.encode()
    }
}

/// The chain loses what was final: the hub has taken messages that its log does not hold. The hub's
/// quorum and the gateway's council, one after the other, let the lane go on in its next epoch, and
/// traffic flows both ways. Attacks: A27, A29
#[test]
fn a29_a_link_whose_chain_has_lost_what_the_hub_took_goes_on_in_the_next_epoch() {
    on_anvil(async |mut world| {
        let link = world.linked.link;
        let before = world.tip();
        world.linked.share(2);
        let relayer = Relayer::start(world.linked.task(&world.adapter));
        until("both messages arrive", &relayer.reports, async || {
            world.on_hub().await.received == 2
        })
        .await;
        relayer.stop().await;
        let _ = world.call("anvil_reorg", json!([world.tip() - before, []]));
        world.mine(3);
        // The chain goes on without them, and with others.
        world.linked.share(3);
        let adapter = world.linked.adapter().await;
        world.adapter = adapter.clone();
        let relayer = Relayer::start(world.linked.task(&adapter));
        until("the hub freezes the link", &relayer.reports, async || {
            world.linked.hub.link(link).status == LinkStatus::Frozen
        })
        .await;
        relayer.stop().await;

        let (leaf, _) = world.gateway(&adapter).await;
        assert_eq!(leaf.size, 3);
        let lane = LaneKey { link, direction: Direction::ChainToHub, lane: DATA_LANE };
        let mut former = Vec::new();
        for number in (0..3).map(MessageNumber) {
            let (messages, range) =
                adapter.messages(lane, Epoch(1), number, 1, leaf.size).await.unwrap();
            // Of three leaves the nodes of a range of one are those of its path.
            former.push((messages[0].clone(), [range.left, range.right].concat()));
        }
        let (lane, epoch, received) = (DATA_LANE, Epoch(2), leaf.received);
        world.linked.hub.enact(Act::ReopenLane { link, lane, epoch, received }).await;
        let anchor = world.anchor(&adapter).await;
        world.linked.hub.enact(Act::RecoverClient { link, anchor }).await;

        let relayer = Relayer::start(world.linked.task(&adapter));
        until("the gateway is shown the next epoch", &relayer.reports, async || {
            world.gateway(&adapter).await.1 == Standing::Shut
        })
        .await;
        relayer.stop().await;
        // Of this log the hub holds nothing.
        let it = Reopening { link, lane, epoch, peer_epoch: epoch, received: 0 };
        world.announce(ActKind::ReopenLane, 1, &it.encode());
        world.take_effect(&it.encode());
        for (message, path) in former {
            let path = path.into_iter().map(|node| node.0.into()).collect();
            let call = sendAgainCall { lane: lane.0, message: message.into(), path };
            world.linked.call(world.linked.control, &call.abi_encode());
        }
        let newest = world.linked.hub.adapter().newest_head().await.unwrap();
        let anchor = Anchor {
            height: newest.height,
            block_id: newest.block_id,
            time: newest.time,
            ..world.linked.hub.anchor()
        };
        let anchor = anchor.encode();
        world.announce(ActKind::NewTrustedHeader, 2, &anchor);
        world.take_effect(&anchor);
        let approve = Act::ApproveTrust { link, trust_epoch: 2 };
        world.linked.hub.enact(approve).await;

        let (leaf, standing) = world.gateway(&adapter).await;
        assert_eq!((leaf.epoch, leaf.peer_epoch, leaf.size), (epoch, epoch, 0));
        assert_eq!((leaf.trust_epoch, standing), (2, Standing::Open));
        world.linked.share(2);
        world.linked.begin(1);
        let relayer = Relayer::start(world.linked.task(&adapter));
        until("traffic flows both ways", &relayer.reports, async || {
            let (hub, chain) = (world.on_hub().await, world.gateway(&adapter).await.0);
            chain.received > 0 && hub.received >= 2 && hub.received == chain.size
        })
        .await;
        relayer.stop().await;
        assert_eq!(world.linked.hub.link(link).status, LinkStatus::Open);
        assert_eq!(world.on_hub().await.epoch, epoch);
    });
}

/// The gateway's client of the hub is dead for the release period, and something is locked: the council
/// gives it up. The hub hears of it while the act waits, and shows it with the commit for ever.
#[test]
fn s4_a_release_on_the_chain_is_on_record_at_the_hub() {
    on_anvil(async |mut world| {
        let link = world.linked.link;
        let payer = key(PAYER);
        let gift = json!([payer.address().to_string(), "0xde0b6b3a7640000"]);
        let _ = world.call("anvil_setBalance", gift);
        let call = depositCall { asset: [0; 32].into(), amount: 1, xid: [0; 32].into() };
        let _ = Sender::new(&world.anvil.rpc, payer).pay(world.linked.vault, &call.abi_encode(), 1);
        let delivery = world.delivery().await;
        let prepare = Message::decode(&delivery.messages[0]).unwrap();
        let Ok(Some(Body::Prepare(prepare))) = Body::decode(prepare.kind, &prepare.body) else {
            panic!("no Prepare");
        };
        let xid = digest::xid(&Terms::decode(&prepare.terms).unwrap());
        world.adapter.deliver(delivery).await.unwrap();
        assert_eq!(world.vault(xid), (1, 0), "prepared");

        world.contradict().await;
        let adapter = world.adapter.clone();
        assert_eq!(world.gateway(&adapter).await.1, Standing::Shut);
        let newest = world.call("eth_getBlockByNumber", json!(["latest", false]));
        let later = quantity(&newest["timestamp"]) + RELEASE_PERIOD_MS / 1_000;
        let _ = world.call("evm_setNextBlockTimestamp", json!([later]));
        world.mine(1);
        let data = Release { link, xid }.encode();
        world.announce(ActKind::ReleaseLock, 1, &data);
        let releases = |world: &World| {
            let commit = world.linked.hub.chain.read(|view| query::commit(view, xid));
            commit.expect("a commit that is not finished").releases
        };
        assert_eq!(releases(&world), []);
        let relayer = Relayer::start(world.linked.task(&adapter));
        until("the hub hears of the release", &relayer.reports, async || {
            !releases(&world).is_empty()
        })
        .await;
        relayer.stop().await;
        world.take_effect(&data);
        assert_eq!(world.vault(xid), (5, 1), "released");
        let [it] = &releases(&world)[..] else { panic!("one release") };
        assert_eq!((it.link, it.act.act, it.act.trust_epoch), (link, 4, 1));
        assert!(!it.is_approved);
        world.linked.hub.enact(Act::ApproveTrust { link, trust_epoch: 1 }).await;
        assert!(releases(&world)[0].is_approved);
    });
}
