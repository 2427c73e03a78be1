//! The registry of data structures. Spec: Y.4560 cl. 7.2.1

use crate::link;
use tombolo_crypto::digest;
use tombolo_ledger::{Cell, Context, Table};
use tombolo_types::{Refusal, ensure, id::SchemaId, refuse, schema::Schema, store::View};

/// The most schemas, all versions counted.
pub const SCHEMAS_MAX: u32 = 1_000;

const DEFINITIONS: Table<SchemaId, Vec<u8>> = Table::new(*b"hS");
/// The newest version of each name.
const NEWEST: Table<String, SchemaId> = Table::new(*b"hM");
const COUNT: Cell<u32> = Cell::new(*b"hm");

/// The canonical definition of a schema.
pub fn definition(view: &dyn View, id: SchemaId) -> Option<Vec<u8>> {
    DEFINITIONS.get(view, &id)
}

/// A registered schema.
pub fn get(view: &dyn View, id: SchemaId) -> Option<Schema> {
    Schema::parse(&DEFINITIONS.get(view, &id)?).ok()
}

/// The newest schema of a name.
pub fn newest(view: &dyn View, name: &str) -> Option<SchemaId> {
    NEWEST.get(view, &name.to_owned())
}

/// All schemas, from `from` on.
pub fn list(view: &dyn View, from: SchemaId, limit: usize) -> Vec<(SchemaId, Schema)> {
    let found = DEFINITIONS.range(view, &from, limit).into_iter();
    found.filter_map(|(id, bytes)| Some((id, Schema::parse(&bytes).ok()?))).collect()
}

pub(crate) fn all_ids(view: &dyn View) -> Vec<SchemaId> {
    DEFINITIONS.all(view, usize::MAX).into_iter().map(|(id, _)| id).collect()
}

/// Registers a schema, or the next version of one; sent to every linked chain.
///
/// Req: Y4560-7.2.1-a, Y4560-7.2.1-b
pub(crate) fn set(cx: &mut Context<'_, '_>, bytes: &[u8]) -> Result<(), Refusal> {
    let schema = Schema::parse(bytes)?;
    let count = COUNT.get(cx.state).unwrap_or(0);
    ensure!(count < SCHEMAS_MAX, Limit, "this hub holds its {SCHEMAS_MAX} schemas");
    let id = digest::schema_id(bytes);
    match NEWEST.get(cx.state, &schema.name).and_then(|newest| get(cx.state, newest)) {
        Some(present) => present.check_successor(&schema)?,
        None if schema.version == 1 => {}
        None => refuse!(
            State,
            "schema {} begins with version {}; the first is 1",
            schema.name,
            schema.version
        ),
    }
    DEFINITIONS.put(cx.state, &id, &bytes.to_vec());
    NEWEST.put(cx.state, &schema.name, &id);
    COUNT.put(cx.state, &count.saturating_add(1));
    link::owe_schema(cx.state, id);
    cx.record.remark = format!("{} version {} as {id}", schema.name, schema.version);
    Ok(())
}
