//! A node of a toy ledger: the application alone over real stores, and the whole over loopback.

mod application;
mod hostile;
mod node;
mod toy;
