//! Attack A28: headers that contradict, and what does not.

use super::*;

/// A third of the old set, and even two thirds exactly, cannot invent a new set.
#[test]
fn a28_a_part_of_the_old_set_cannot_invent_a_new_one() {
    let three = set(1, &[(1, 1), (2, 1), (3, 1)]);
    let anchor = Anchor { validators: three.clone(), ..anchor() }.encode();
    let client = CLIENT.start(&anchor, &terms(PERIOD), UnixMillis(GENESIS)).unwrap();
    let invented = set(31, &[(8, 1), (9, 1)]);
    let last = header_at(30, &three, &invented);
    for signers in [&[1][..], &[1, 2]] {
        let update = update(&last, certified(&last, signers), &invented);
        let result = CLIENT.update(&client, now(30), &update);
        refused(result, Class::Proof, "is not more than two thirds");
    }
    // Nor does the invented set certify itself, with or without members of the old one.
    let theirs = header_at(31, &invented, &invented);
    let update = update(&theirs, certified(&theirs, &[8, 9]), &invented);
    let result = CLIENT.update(&client, now(31), &update);
    refused(result, Class::Proof, "is none that the client");
}

/// Req: PRJ-4-1
///
/// Equivocation with half of the power: two blocks at one height, both certified.
#[test]
fn a28_equivocation_freezes() {
    let client = at_20();
    let mut other = header_at(20, &old_set(), &old_set());
    other.log_root = keccak256(b"another history");
    // Validators 1 and 2 signed both blocks; 4 was shown only the second.
    let proof = head_proof(&other, certified(&other, &[1, 2, 4]));
    let frozen = froze(CLIENT.head(&client, now(21), &proof, &leaf(2)), "both certified at height");
    let state = ClientState::decode(&frozen).unwrap();
    assert_eq!(state.frozen, Some(Frozen { at: now(21), evidence: keccak256(&proof) }));
    let update = update(&other, certified(&other, &[1, 2, 4]), &old_set());
    froze(CLIENT.update(&client, now(21), &update), "both certified at height");
}

/// Amnesia: the two blocks were decided in different rounds, so that no validator signed twice in
/// one round. For the client it is the same contradiction.
#[test]
fn a28_amnesia_freezes() {
    let mut other = header_at(20, &old_set(), &old_set());
    other.transactions_root = keccak256(b"others");
    let id = digest::block_id(&other);
    let later = certificate(chain(), Height(20), Round(1), id, &[2, 3, 4]);
    froze(
        CLIENT.head(&at_20(), now(21), &head_proof(&other, later), &leaf(2)),
        "both certified at height 20",
    );
}

/// Lunatic: headers that no execution gives, of a height already passed, under a set that was left.
#[test]
fn a28_lunatic_headers_freeze() {
    let client = after_change();
    // A set that was left goes on, as if it had not named its successor.
    froze(prove(&client, 31), "named its successor at height 30");
    // It names another successor at the height of the change.
    let invented = set(31, &[(8, 1), (9, 1)]);
    let rival = header_at(30, &old_set(), &invented);
    let bytes = update(&rival, certified(&rival, &[1, 2, 3]), &invented);
    froze(CLIENT.update(&client, now(31), &bytes), "both certified at height 30");
    // It names a successor below a header that it certified.
    let below = header_at(15, &old_set(), &set(16, &[(8, 1)]));
    let bytes = update(&below, certified(&below, &[1, 2, 3]), &set(16, &[(8, 1)]));
    froze(CLIENT.update(&at_20(), now(20), &bytes), "named its successor at height 15");
    // Its time runs backwards.
    for (height, time) in [(21, 20_000), (21, 5_000), (19, 20_000), (19, 25_000)] {
        let mut wrong = header_at(height, &old_set(), &old_set());
        wrong.time = UnixMillis(GENESIS + time);
        let proof = head_proof(&wrong, certified(&wrong, &[1, 2, 3]));
        froze(CLIENT.head(&at_20(), now(21), &proof, &leaf(2)), "is not after time");
    }
}

#[test]
fn a28_evidence_of_two_headers_freezes_a_client_that_saw_neither() {
    let a = header_at(40, &old_set(), &old_set());
    let mut b = a.clone();
    b.writes_digest = keccak256(b"diverged");
    let evidence = misbehaviour(&a, certified(&a, &[1, 2, 3]), &b, certified(&b, &[1, 2, 4]));
    let conviction = CLIENT.misbehaviour(&at_20(), now(40), &evidence).unwrap();
    let Conviction::Frozen { client } = conviction else { panic!("{conviction:?}") };
    assert_eq!(status(&client, now(40)), ClientStatus::Frozen);
    let again = CLIENT.misbehaviour(&client, now(40), &evidence).unwrap_err();
    assert_eq!(again.class, Class::Proof);
}

#[test]
fn a28_evidence_that_shows_nothing_freezes_nobody() {
    let a = header_at(40, &old_set(), &old_set());
    let b = header_at(41, &old_set(), &old_set());
    let mut rival = a.clone();
    rival.writes_digest = keccak256(b"diverged");
    let by = |header: &Header, signers: &[u8]| certified(header, signers);
    let class = |evidence: Vec<u8>| {
        CLIENT.misbehaviour(&at_20(), now(41), &evidence).map_err(|refusal| refusal.class)
    };
    // The same header twice; two that follow each other.
    assert_eq!(
        class(misbehaviour(&a, by(&a, &[1, 2, 3]), &a, by(&a, &[2, 3, 4]))),
        Err(Class::Proof)
    );
    assert_eq!(
        class(misbehaviour(&a, by(&a, &[1, 2, 3]), &b, by(&b, &[1, 2, 3]))),
        Err(Class::Proof)
    );
    // A single validator's double vote never freezes.
    assert_eq!(
        class(misbehaviour(&a, by(&a, &[1, 2, 3]), &rival, by(&rival, &[1]))),
        Err(Class::Proof)
    );
    // Headers of a set that the client never held.
    let strangers = new_set(1);
    let c = header_at(40, &strangers, &strangers);
    let mut d = c.clone();
    d.writes_digest = keccak256(b"diverged");
    let evidence = Misbehaviour {
        certificate_a: by(&c, &[5, 6, 7]),
        certificate_b: by(&d, &[5, 6, 7]),
        header_a: c,
        header_b: d,
        validators_a: strangers.clone(),
        validators_b: strangers,
    };
    assert_eq!(class(evidence.encode()), Err(Class::Proof));
}

/// A set that was left is watched for the trusting period after the change, and no longer.
#[test]
fn a28_a_set_that_was_left_long_ago_cannot_freeze() {
    let set = new_set(31);
    let mut client = after_change();
    for height in [60, 90, 119] {
        let header = header_at(height, &set, &set);
        let proof = head_proof(&header, certified(&header, &[5, 6, 7]));
        client = CLIENT.head(&client, now(height), &proof, &leaf(2)).unwrap().client;
    }
    froze(
        CLIENT.head(&client, now(119), &old_at_31(), &leaf(2)),
        "named its successor at height 30",
    );
    let result = CLIENT.head(&client, now(120), &old_at_31(), &leaf(2));
    refused(result, Class::Proof, "is none that the client");
}

fn old_at_31() -> Vec<u8> {
    let header = header_at(31, &old_set(), &old_set());
    head_proof(&header, certified(&header, &[1, 2, 3]))
}
