//! The thread on which the ledger lives. Consensus goes before the door: a flood of submissions
//! never delays a vote by more than the one that is being looked at.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};
use tokio::sync::oneshot;
use tombolo_types::{Class, Refusal, id::TxId};

use crate::{application::Fatal, desk::Desk};

/// Submissions that wait for the door. A caller waits for its answer, so this bounds the callers
/// served at once; one more is refused with `E_LIMIT`.
const SUBMISSIONS_MAX: usize = 4096;

type Job = Box<dyn FnOnce(&mut Desk) + Send>;

struct Submission {
    transaction: Vec<u8>,
    push: bool,
    reply: oneshot::Sender<Result<TxId, Refusal>>,
}

#[derive(Default)]
struct Queues {
    /// From the one consensus task, which waits for each: at most one, save at shutdown.
    jobs: VecDeque<Job>,
    submissions: VecDeque<Submission>,
    closed: bool,
}

#[derive(Default)]
struct Inbox {
    queues: Mutex<Queues>,
    filled: Condvar,
}

impl Inbox {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        // Nothing that can panic runs under this lock.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something into a queue; drops it, and so tells whoever waits for it, once closed.
    fn push(&self, put: impl FnOnce(&mut Queues)) {
        let mut queues = self.queues();
        if !queues.closed {
            put(&mut queues);
            self.filled.notify_one();
        }
    }

    fn close(&self) {
        let mut queues = self.queues();
        queues.closed = true;
        queues.jobs.clear();
        queues.submissions.clear();
        self.filled.notify_all();
    }
}

/// Closes the inbox when the thread ends, also by a panic, so that whoever waits is told; and when
/// nobody holds the way to it any more, so that the thread ends.
struct CloseAtEnd(Arc<Inbox>);

impl Drop for CloseAtEnd {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The way to the ledger's thread.
#[derive(Clone)]
pub(crate) struct Ledger {
    inbox: Arc<Inbox>,
    _end: Arc<CloseAtEnd>,
}

impl Ledger {
    /// Starts the thread.
    pub(crate) fn spawn(mut desk: Desk) -> std::io::Result<(Self, JoinHandle<()>)> {
        let inbox = Arc::new(Inbox::default());
        let at_end = CloseAtEnd(Arc::clone(&inbox));
        let thread = std::thread::Builder::new().name("ledger".into()).spawn(move || {
            serve(&at_end.0, &mut desk);
        })?;
        let end = Arc::new(CloseAtEnd(Arc::clone(&inbox)));
        Ok((Self { inbox, _end: end }, thread))
    }

    /// Runs `job` on the thread, before all submissions.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Desk) -> Result<T, Fatal> + Send + 'static,
    ) -> Result<T, Fatal> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |desk| {
            let done = job(desk);
            if done.is_err() {
                // Not one signature more, however long the engine takes to end.
                desk.keys.retire();
            }
            // The asker may be gone at shutdown.
            let _ = reply.send(done);
        });
        self.inbox.push(|queues| queues.jobs.push_back(job));
        answer.await.unwrap_or_else(|_| Err(Fatal::new("the ledger's thread has ended")))
    }

    /// Shows a transaction to the door.
    pub(crate) async fn submit(&self, transaction: Vec<u8>, push: bool) -> Result<TxId, Refusal> {
        let (reply, answer) = oneshot::channel();
        let waiting = self.inbox.queues().submissions.len();
        if waiting >= SUBMISSIONS_MAX {
            return Err(Refusal::new(
                Class::Limit,
                format!("{waiting} transactions wait for the door; send again later"),
            ));
        }
        let submission = Submission { transaction, push, reply };
        self.inbox.push(|queues| queues.submissions.push_back(submission));
        answer.await.unwrap_or_else(|_| {
            let message = "this node is stopping; send to another, or again after its restart";
            Err(Refusal::new(Class::State, message))
        })
    }

    /// Ends the thread after what it does now.
    pub(crate) fn close(&self) {
        self.inbox.close();
    }
}

enum Work {
    Job(Job),
    Submission(Submission),
}

fn serve(inbox: &Inbox, desk: &mut Desk) {
    while let Some(work) = next(inbox) {
        match work {
            Work::Job(job) => job(desk),
            Work::Submission(Submission { transaction, push, reply }) => {
                // The asker may have given up.
                let _ = reply.send(desk.submit(transaction, push));
            }
        }
    }
}

/// Waits for work; `None` once the inbox is closed.
fn next(inbox: &Inbox) -> Option<Work> {
    let mut queues = inbox.queues();
    loop {
        if queues.closed {
            return None;
        }
        if let Some(job) = queues.jobs.pop_front() {
            return Some(Work::Job(job));
        }
        if let Some(submission) = queues.submissions.pop_front() {
            return Some(Work::Submission(submission));
        }
        queues = inbox.filled.wait(queues).unwrap_or_else(PoisonError::into_inner);
    }
}
