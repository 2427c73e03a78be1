//! What happened, when, and how it ended.

use crate::party::Final;
use serde_json::{Value, json};
use std::{
    io::{IsTerminal as _, Write as _},
    time::Instant,
};
use tombolo_types::Class;

/// A step that is over.
struct Step {
    name: String,
    outcome: String,
    class: Option<Class>,
    transaction: Option<String>,
    began: f64,
    took: f64,
}

/// The steps so far.
pub(crate) struct Timeline {
    start: Instant,
    steps: Vec<Step>,
}

/// What a step came to.
pub(crate) struct Done {
    outcome: String,
    class: Option<Class>,
    transaction: Option<String>,
}

impl Done {
    /// It happened.
    pub(crate) fn so(outcome: impl Into<String>) -> Self {
        Self { outcome: outcome.into(), class: None, transaction: None }
    }

    /// It was refused, as it should be.
    pub(crate) fn refused(class: Class, outcome: impl Into<String>) -> Self {
        Self { outcome: outcome.into(), class: Some(class), transaction: None }
    }

    /// With the transaction that did it.
    pub(crate) fn by(mut self, done: &Final) -> Self {
        if !done.id.is_zero() {
            self.transaction = Some(done.id.to_string());
        }
        self
    }

    /// With an id under which it is known.
    pub(crate) fn under(mut self, id: impl ToString) -> Self {
        self.transaction = Some(id.to_string());
        self
    }
}

impl Timeline {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), steps: Vec::new() }
    }

    /// Runs a step and notes how it ended. A step that fails ends the story.
    pub(crate) async fn step(
        &mut self,
        name: &str,
        step: impl Future<Output = anyhow::Result<Done>>,
    ) -> anyhow::Result<()> {
        let began = self.seconds();
        let terminal = std::io::stderr().is_terminal();
        if terminal {
            eprint!("{began:>6.1}s  {name} …");
            let _ = std::io::stderr().flush();
        }
        let result = step.await;
        let took = self.seconds() - began;
        let (done, end) = match result {
            Ok(done) => (done, Ok(())),
            Err(error) => {
                (Done::so(format!("failed: {error:#}")), Err(error.context(name.to_owned())))
            }
        };
        let Done { outcome, class, transaction } = done;
        let shown = class.map_or(String::new(), |class| format!("{class}: "));
        if terminal {
            eprintln!("\r{began:>6.1}s  {name}: {shown}{outcome}\x1b[K");
        } else {
            eprintln!("{began:>6.1}s  {name}: {shown}{outcome}");
        }
        self.steps.push(Step { name: name.into(), outcome, class, transaction, began, took });
        end
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// As programs read it.
    pub(crate) fn steps(&self) -> Vec<Value> {
        self.steps
            .iter()
            .map(|step| {
                json!({
                    "name": step.name,
                    "outcome": step.outcome,
                    "class": step.class.map(Class::code),
                    "transaction": step.transaction,
                    "began_seconds": step.began,
                    "seconds": step.took,
                })
            })
            .collect()
    }

    /// As people read it.
    pub(crate) fn print(&self, wanted: bool) {
        if !wanted {
            return;
        }
        let width = self.steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
        println!();
        for step in &self.steps {
            let class = step.class.map_or("", Class::code);
            println!(
                "{:>6.1}s {:>6.2}s  {:<width$}  {class:<13} {}",
                step.began, step.took, step.name, step.outcome
            );
        }
    }
}
