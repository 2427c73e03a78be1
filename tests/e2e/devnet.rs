use crate::{
    network::Devnet,
    run::{eventually, good, last_json, processes_of, refused},
};
use serde_json::Value;
use std::{process::Command, time::Duration};

/// Up, shown, killed part by part, up again with the same chains, down with nothing left.
///
/// Req: PRJ-4-6, D35-7.2.1-1
#[test]
fn a58_every_part_may_be_killed_and_goes_on() {
    let devnet = Devnet::up();
    let before = devnet.tombolo("status");
    assert_eq!(before["running"], true);
    let status = devnet.serves("relayer").to_string();
    let links: Value = last_json(&good(&["relayer", "status", "--json", "--status", &status]));
    assert_eq!(links.as_array().unwrap().len(), 2, "{links}");

    for name in ["relayer", "seattle", "hub", "mauna-loa"] {
        let id = devnet.part(name)["process"].as_u64().unwrap();
        assert!(Command::new("kill").args(["-9", &id.to_string()]).status().unwrap().success());
    }
    eventually("every part is gone", Duration::from_secs(10), || {
        processes_of(&devnet.home).is_empty().then_some(())
    });
    let height = |status: &Value, name: &str| {
        let parts = status["parts"].as_array().unwrap();
        parts.iter().find(|part| part["name"] == name).unwrap()["height"].as_u64().unwrap()
    };
    let after = devnet.tombolo("up");
    for name in ["hub", "seattle", "mauna-loa"] {
        assert!(height(&after, name) >= height(&before, name), "{name} fell back");
        let goes_on = height(&after, name);
        eventually("the next block comes", Duration::from_secs(3), || {
            (height(&devnet.tombolo("status"), name) > goes_on).then_some(())
        });
    }
    devnet.tombolo("down");
    assert_eq!(processes_of(&devnet.home), Vec::<u32>::new());
    // Logs in files are plain text.
    for name in ["relayer", "seattle", "hub", "mauna-loa"] {
        let log = devnet.log(name);
        assert!(log.contains("started") && !log.contains('\u{1b}'), "{name}");
    }
}

/// An auditor's and an operator's commands against a running network.
///
/// Req: PRJ-4-5, PRJ-4-6, Y4560-7.1.2-2, Y4560-7.2.3-2
#[test]
fn the_tour_of_the_readme() {
    let devnet = Devnet::up();
    let hub = format!("http://{}", devnet.serves("hub"));
    let relayer = devnet.serves("relayer").to_string();
    good(&["relayer", "status", "--status", &relayer]);
    good(&["relayer", "links", "--status", &relayer]);

    let all = good(&["audit", "query", "--node", &hub, "--limit", "500", "--json"]);
    let records = all.lines().count();
    assert!(records > 20, "{all}");
    let query = |words: &[&str]| {
        let page = good(&[&["audit", "query", "--json", "--node", &hub], words].concat());
        page.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let hellos = query(&["--operation", "hello"]);
    assert_eq!(hellos.len(), 2, "{hellos:?}");
    // One of them, by each thing that it is known by, and its neighbour by none of them.
    for (flag, field) in
        [("--id", "global_id"), ("--local", "tx_id"), ("--link", "link"), ("--party", "relayer")]
    {
        let found = query(&[flag, hellos[0][field].as_str().unwrap(), "--operation", "hello"]);
        assert_eq!(found[0], hellos[0], "{flag}");
    }
    assert_eq!(
        query(&["--link", hellos[0]["link"].as_str().unwrap(), "--operation", "hello"]).len(),
        1
    );
    // A page, and the rest after it.
    let first = query(&["--limit", "7"]);
    let after = first[7]["next_after"].to_string();
    let rest = query(&["--after", &after, "--limit", "500"]);
    assert_eq!(first.len() - 1 + rest.len(), records);
    assert_eq!(rest[0]["position"], 7);
    assert_eq!(query(&["--data-class", "closed"]), Vec::<Value>::new());
    assert_eq!(query(&["--status", "done", "--until", "1"]), Vec::<Value>::new());

    let out = devnet.home.join("log.bundle");
    let out = out.to_str().unwrap();
    good(&["audit", "export", "--node", &hub, "--out", out]);
    let genesis = devnet.part("hub")["chain"].as_str().unwrap().to_owned();
    good(&["audit", "verify", out, "--genesis", &genesis]);
    devnet.tombolo("down");
    let fault = refused(&["audit", "export", "--node", &hub, "--out", out]);
    assert_eq!(fault["class"], "E_TIMEOUT", "{fault}");
}
