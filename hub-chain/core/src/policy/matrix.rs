//! What is allowed, as a table for people: each operation on each type and class of data.

use super::{Operation, Question, Subject, evaluate::foresee};
use crate::{Hub, schema};
use tombolo_types::{
    Class, UnixMillis,
    id::{ChainId, DataId, IdentityId, SchemaId},
    message::DataClass,
    store::View,
};

/// One cell of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixCell {
    /// The type of data: a schema's name.
    pub data_type: String,
    /// Open or closed.
    pub class: DataClass,
    /// What is done.
    pub operation: Operation,
    /// `None` where it is allowed, else the class of the refusal.
    pub refusal: Option<Class>,
}

/// The table for an identity that acts, at block time `time`, on a first version of its own.
///
/// A policy that asks for more (destination, terms, purpose) is asked with these empty. Grants are
/// not part of it: a move of closed data takes one besides. Req: Y4560-7.2.3-3
pub fn matrix(
    hub: &Hub,
    view: &dyn View,
    principal: IdentityId,
    time: UnixMillis,
) -> Vec<MatrixCell> {
    let operations = [Operation::Share, Operation::Move, Operation::Write, Operation::Disclose];
    let mut types: Vec<String> = schema::list(view, SchemaId::ZERO, usize::MAX)
        .into_iter()
        .map(|(_, schema)| schema.name)
        .collect();
    types.sort();
    types.dedup();
    let mut cells = Vec::new();
    for data_type in &types {
        for class in [DataClass::Open, DataClass::Closed] {
            for operation in operations {
                let subject = Subject::Item {
                    id: DataId::ZERO,
                    class,
                    home: ChainId::ZERO,
                    owner: principal,
                    schema: data_type.clone(),
                    version: 1,
                    terms: String::new(),
                };
                let ends = (ChainId::ZERO, ChainId::ZERO);
                let question = Question::of((view, time), principal, operation, subject, ends);
                let refusal = match (operation, class) {
                    (Operation::Share, DataClass::Closed) => Some(Class::ClosedCopy),
                    _ => foresee(hub, view, &question).err().map(|refusal| refusal.class),
                };
                cells.push(MatrixCell { data_type: data_type.clone(), class, operation, refusal });
            }
        }
    }
    cells
}
