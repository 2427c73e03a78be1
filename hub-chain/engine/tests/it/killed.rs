//! A real process, a real disk, and `kill -9`.

use crate::{
    network::{Node, PATIENCE},
    toy::{Toy, ToyTransaction},
};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tombolo_engine::Application as _;
use tombolo_store::Sled;
use tombolo_types::Height;

/// Names the home to the child.
const HOME: &str = "TOMBOLO_ENGINE_TEST_HOME";

fn open(home: &Path) -> Arc<Sled> {
    Arc::new(Sled::open(home.join("store"), 16 << 20, 1).unwrap())
}

fn announced(home: &Path) -> u64 {
    let text = fs::read_to_string(home.join("tip")).unwrap_or_default();
    text.parse().unwrap_or(0)
}

/// Not a test of its own: the process that is killed. Without the variable it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_child_that_is_killed() {
    let Some(home) = env::var_os(HOME).map(PathBuf::from) else { return };
    let store = open(&home);
    let due = Toy::open(store.clone(), &[1]).nonce_of(7);
    let node = Node::alone_on("killed-child", &home, store).await.unwrap();
    let mut tip = node.handle.tip();
    for nonce in due.. {
        node.handle.submit(ToyTransaction::new(7, nonce).encode()).await.unwrap();
        tip.changed().await.unwrap();
        // In one step, so that the parent never reads half of it.
        fs::write(home.join("tip.new"), tip.borrow().height.to_string()).unwrap();
        fs::rename(home.join("tip.new"), home.join("tip")).unwrap();
    }
}

fn spawn(home: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["killed::the_child_that_is_killed", "--exact"])
        .env(HOME, home)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Req: D35-7.2.1-1. Killed in the middle of its work again and again, a node loses nothing that
/// it announced, and goes on by itself.
#[test]
fn a13_a_killed_process_loses_nothing_and_goes_on() {
    let home = crate::network::home();
    for time in 0..5 {
        let before = announced(home.path());
        let mut child = spawn(home.path());
        let start = Instant::now();
        while announced(home.path()) < before + 4 {
            assert!(start.elapsed() < PATIENCE, "no progress after kill {time}");
            assert_eq!(child.try_wait().unwrap(), None, "ended by itself after kill {time}");
            std::thread::sleep(Duration::from_millis(5 + 3 * time));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let toy = Toy::open(open(home.path()), &[1]);
        assert!(toy.tip().height >= Height(announced(home.path())));
    }
}
