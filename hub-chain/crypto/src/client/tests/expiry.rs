//! Attack A29: expiry, its warning, and recovery.

use super::*;

#[test]
fn a29_warning_after_two_thirds_and_expiry_after_the_period() {
    let client = at_20();
    let accepted = GENESIS + 20_000;
    let rows = [
        (0, ClientStatus::Active),
        (PERIOD * 2 / 3, ClientStatus::Active),
        (PERIOD * 2 / 3 + 1, ClientStatus::Expiring),
        (PERIOD - 1, ClientStatus::Expiring),
        (PERIOD, ClientStatus::Expired),
        (u64::MAX - accepted, ClientStatus::Expired),
    ];
    for (age, expected) in rows {
        assert_eq!(status(&client, UnixMillis(accepted + age)), expected, "age {age}");
    }
    assert_eq!(status(&client, UnixMillis(0)), ClientStatus::Active);
}

/// Req: PRJ-4-1
#[test]
fn a29_an_expired_client_accepts_nothing() {
    let client = at_20();
    let header = header_at(110, &old_set(), &old_set());
    let proof = head_proof(&header, certified(&header, &[1, 2, 3]));
    let last = UnixMillis(GENESIS + 20_000 + PERIOD - 1);
    assert!(CLIENT.head(&client, last, &proof, &leaf(2)).is_ok());
    let late = UnixMillis(last.0 + 1);
    refused(CLIENT.head(&client, late, &proof, &leaf(2)), Class::Proof, "has expired");
    let bytes = update(&header, certified(&header, &[1, 2, 3]), &old_set());
    refused(CLIENT.update(&client, late, &bytes), Class::Proof, "has expired");
    let mut rival = header.clone();
    rival.log_size = 4;
    let evidence = misbehaviour(
        &header,
        certified(&header, &[1, 2, 3]),
        &rival,
        certified(&rival, &[1, 2, 3]),
    );
    assert_eq!(CLIENT.misbehaviour(&client, late, &evidence).unwrap_err().class, Class::Proof);
}

fn anchor_at(height: u64, set: ValidatorSet) -> Anchor {
    let header = header_at(height, &set, &set);
    Anchor {
        chain_id: chain(),
        height: Height(height),
        block_id: digest::block_id(&header),
        time: header.time,
        validators: set,
    }
}

#[test]
fn a29_recovery_after_expiry_goes_on_above_what_was_accepted() {
    let client = at_20();
    let class = |anchor: &Anchor, at: u64| {
        CLIENT.recover(&client, &anchor.encode(), now(at)).map_err(|refusal| refusal.class)
    };
    let good = anchor_at(150, new_set(100));
    let other_chain = Anchor { chain_id: keccak256(b"another").into(), ..good.clone() };
    assert_eq!(class(&other_chain, 150), Err(Class::Proof));
    assert_eq!(class(&anchor_at(19, old_set()), 150), Err(Class::Proof), "lower");
    let rival = Anchor { block_id: keccak256(b"rival").into(), ..anchor_at(20, old_set()) };
    assert_eq!(class(&rival, 150), Err(Class::Proof), "another block at the same height");
    let earlier = Anchor { time: UnixMillis(GENESIS + 20_000), ..good.clone() };
    assert_eq!(class(&earlier, 150), Err(Class::Proof), "not later");
    assert_eq!(class(&good, 150 + PERIOD / 1000), Err(Class::Proof), "expired itself");

    let recovered = CLIENT.recover(&client, &good.encode(), now(150)).unwrap();
    let at = (recovered.height, recovered.block_id, recovered.time);
    assert_eq!(at, (good.height, good.block_id, good.time));
    let client = recovered.client;
    assert_eq!(status(&client, now(150)), ClientStatus::Active);
    let set = new_set(100);
    let header = header_at(151, &set, &set);
    let proof = head_proof(&header, certified(&header, &[4, 5, 6]));
    assert!(CLIENT.head(&client, now(151), &proof, &leaf(2)).is_ok());
}

#[test]
fn a29_recovery_after_a_freeze_may_go_below_what_was_accepted() {
    let mut rival = header_at(20, &old_set(), &old_set());
    rival.log_size = 9;
    let proof = head_proof(&rival, certified(&rival, &[1, 2, 3]));
    let frozen = froze(CLIENT.head(&at_20(), now(20), &proof, &leaf(2)), "both certified");
    let anchor = anchor_at(15, new_set(12));
    let client = CLIENT.recover(&frozen, &anchor.encode(), now(30)).unwrap().client;
    assert_eq!(position(&client), (chain(), Height(15), anchor.block_id));
    assert_eq!(status(&client, now(30)), ClientStatus::Active);
}

/// A link may be frozen over a lane while its client is well: what that accepted stays true.
#[test]
fn a29_recovery_of_a_client_that_is_well_goes_on_above_what_was_accepted() {
    let client = at_20();
    let class = |anchor: &Anchor| {
        CLIENT.recover(&client, &anchor.encode(), now(40)).map(drop).map_err(|it| it.class)
    };
    assert_eq!(class(&anchor_at(19, old_set())), Err(Class::Proof), "lower");
    let rival = Anchor { block_id: keccak256(b"rival").into(), ..anchor_at(20, old_set()) };
    assert_eq!(class(&rival), Err(Class::Proof), "another block at the same height");
    assert_eq!(class(&anchor_at(20, old_set())), Ok(()), "the newest itself");
    assert_eq!(class(&anchor_at(40, new_set(30))), Ok(()), "above it");
}

/// What a release counts its period from: the earlier of freeze and expiry.
#[test]
fn a29_a_client_is_dead_from_its_freeze_or_expiry_on() {
    let client = at_20();
    let expiry = UnixMillis(GENESIS + 20_000 + PERIOD);
    let before = UnixMillis(expiry.0 - 1);
    assert_eq!(dead_since(&client, before).unwrap(), None);
    assert_eq!(dead_since(&client, expiry).unwrap(), Some(expiry));
    let mut rival = header_at(20, &old_set(), &old_set());
    rival.log_size = 4;
    let proof = head_proof(&rival, certified(&rival, &[1, 2, 3]));
    let frozen = froze(CLIENT.head(&client, now(21), &proof, &leaf(2)), "both certified");
    for at in [now(21), before, expiry, UnixMillis(u64::MAX)] {
        assert_eq!(dead_since(&frozen, at).unwrap(), Some(now(21)));
    }
    assert_eq!(dead_since(&[], expiry).unwrap_err().class, Class::Format);
}
