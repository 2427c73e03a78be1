//! Who certifies which height.

use crate::state::{Cell, State, Table};
use tombolo_types::{Class, Height, Refusal, header::ValidatorSet, store::View};

const SETS: Table<Height, ValidatorSet> = Table::new(*b"kV");
/// First heights of all sets, ascending: sets change seldom, and old ones must be found.
const FIRST_HEIGHTS: Cell<Vec<Height>> = Cell::new(*b"kW");

/// The set that certifies `height`.
pub fn at(view: &dyn View, height: Height) -> Option<ValidatorSet> {
    let heights = FIRST_HEIGHTS.get(view).unwrap_or_default();
    let first = heights.iter().rev().find(|first| **first <= height)?;
    SETS.get(view, first)
}

/// All first heights at which another set began.
pub fn changes(view: &dyn View) -> Vec<Height> {
    FIRST_HEIGHTS.get(view).unwrap_or_default()
}

/// Makes `set` certify from its first height on; a set already due at that height is replaced.
///
/// # Errors
/// `E_FORMAT` where the set is none, `E_STATE` where its height does not lie after `now`.
pub fn put(state: &mut State<'_>, set: &ValidatorSet, now: Height) -> Result<(), Refusal> {
    set.check().map_err(|error| Refusal::new(Class::Format, error.to_string()))?;
    if set.first_height <= now {
        return Err(Refusal::new(
            Class::State,
            format!(
                "a validator set from height {} on comes too late at height {now}",
                set.first_height
            ),
        ));
    }
    let mut heights = FIRST_HEIGHTS.get(state).unwrap_or_default();
    if let Err(position) = heights.binary_search(&set.first_height) {
        heights.insert(position, set.first_height);
        FIRST_HEIGHTS.put(state, &heights);
    }
    SETS.put(state, &set.first_height, set);
    Ok(())
}
