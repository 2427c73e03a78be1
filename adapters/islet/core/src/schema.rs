//! Data structures that the hub has registered, as they came on the control lane.

use tombolo_crypto::digest;
use tombolo_ledger::{Context, Table};
use tombolo_types::{
    Refusal, ensure, envelope::Envelope, id::SchemaId, message::SchemaUpdate, refuse,
    schema::Schema, store::View,
};

const SCHEMAS: Table<SchemaId, Vec<u8>> = Table::new(*b"iM");

/// Takes a definition; its id is its hash, so it cannot change.
pub(crate) fn take_update(cx: &mut Context<'_, '_>, update: &SchemaUpdate) -> Result<(), Refusal> {
    Schema::parse(&update.definition)?;
    let found = digest::schema_id(&update.definition);
    ensure!(
        found == update.schema,
        Tamper,
        "the definition sent as schema {} has id {found}",
        update.schema
    );
    SCHEMAS.put(cx.state, &update.schema, &update.definition);
    Ok(())
}

/// Validates an envelope against its schema.
///
/// # Errors
/// `E_NOTFOUND` where the schema is not known here, else as [`Schema::validate`].
pub(crate) fn validate(view: &dyn View, envelope: &Envelope) -> Result<(), Refusal> {
    let Some(definition) = SCHEMAS.get(view, &envelope.schema) else {
        refuse!(
            NotFound,
            "schema {} is not known here; register it on the hub and let its control lane be \
             delivered",
            envelope.schema
        );
    };
    Schema::parse(&definition)?.validate(envelope)
}

/// A schema's canonical definition.
pub(crate) fn definition(view: &dyn View, schema: SchemaId) -> Option<Vec<u8>> {
    SCHEMAS.get(view, &schema)
}

/// At most `limit` schemas, from `from` on.
pub(crate) fn list(view: &dyn View, from: SchemaId, limit: usize) -> Vec<(SchemaId, Vec<u8>)> {
    SCHEMAS.range(view, &from, limit)
}
