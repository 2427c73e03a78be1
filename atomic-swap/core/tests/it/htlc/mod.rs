//! Hash-timelock swaps: decisions as tables, arithmetic as properties, histories, and the checker.

mod fixture;
mod histories;
mod margins;
mod model;
mod rules;
mod terms;
