//! Which processes of a network talk to each other, as the kernel's tables of sockets show it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// How long lies between two looks: connections of these programs are kept open for seconds.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// The kernel's number for an established connection, and for a listening socket.
const ESTABLISHED: &str = "01";
const LISTENING: &str = "0A";

/// Two processes that were connected, by name, in alphabetical order.
pub(crate) type Pair = (&'static str, &'static str);

/// Looks at the sockets of some processes until it is asked for what it saw.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    looking: JoinHandle<BTreeSet<Pair>>,
}

impl Watch {
    /// Watches the processes that listen at these ports of this machine.
    pub(crate) fn of(parts: &[(&'static str, u16)]) -> Self {
        let listening: BTreeMap<u16, u64> = sockets()
            .into_iter()
            .filter(|socket| socket.state == LISTENING)
            .map(|socket| (socket.local, socket.inode))
            .collect();
        let processes: Vec<(&'static str, u32)> = parts
            .iter()
            .map(|(name, port)| {
                let inode = listening.get(port).unwrap_or_else(|| panic!("none listens at {port}"));
                let owner = owner_of(*inode).unwrap_or_else(|| panic!("{name} has no process"));
                (*name, owner)
            })
            .collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let looking = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !stopped.load(Ordering::Relaxed) {
                seen.extend(connected(&processes));
                std::thread::sleep(LOOK_EVERY);
            }
            seen
        });
        Self { stop, looking }
    }

    /// All pairs that were connected at one of the looks.
    pub(crate) fn ended(self) -> BTreeSet<Pair> {
        self.stop.store(true, Ordering::Relaxed);
        self.looking.join().unwrap()
    }
}

/// One line of the kernel's table.
struct Socket {
    local: u16,
    remote: u16,
    state: String,
    inode: u64,
}

fn sockets() -> Vec<Socket> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap());
    tables.iter().flat_map(|table| table.lines().skip(1)).map(read).collect()
}

fn read(line: &str) -> Socket {
    let words: Vec<&str> = line.split_whitespace().collect();
    let port =
        |address: &str| u16::from_str_radix(address.rsplit(':').next().unwrap(), 16).unwrap();
    Socket {
        local: port(words[1]),
        remote: port(words[2]),
        state: words[3].to_owned(),
        inode: words[9].parse().unwrap(),
    }
}

/// The inodes of the sockets that a process holds; none of one that has ended.
fn inodes_of(process: u32) -> Vec<u64> {
    let Ok(files) = fs::read_dir(format!("/proc/{process}/fd")) else { return Vec::new() };
    files
        .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .collect()
}

fn owner_of(inode: u64) -> Option<u32> {
    let processes = fs::read_dir("/proc").unwrap();
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .find(|process| inodes_of(*process).contains(&inode))
}

/// Who is connected to whom now. On one machine the ports of a connection name it.
fn connected(processes: &[(&'static str, u32)]) -> BTreeSet<Pair> {
    let owners: BTreeMap<u64, &'static str> = processes
        .iter()
        .flat_map(|(name, process)| inodes_of(*process).into_iter().map(|inode| (inode, *name)))
        .collect();
    let ends: BTreeMap<(u16, u16), &'static str> = sockets()
        .into_iter()
        .filter(|socket| socket.state == ESTABLISHED)
        .filter_map(|socket| Some(((socket.local, socket.remote), *owners.get(&socket.inode)?)))
        .collect();
    let pair = |(ports, name): (&(u16, u16), &&'static str)| {
        let other = ends.get(&(ports.1, ports.0))?;
        (name < other).then_some((*name, *other))
    };
    ends.iter().filter_map(pair).collect()
}

/// The port of an address or of a URL without a path.
pub(crate) fn port_of(address: &str) -> u16 {
    let end = address.trim_end_matches('/').rsplit(':').next().unwrap();
    end.parse().unwrap()
}
