//! One module a subcommand: its arguments and what it does.

pub mod au;
pub mod bundle;
pub mod calibrate;
pub mod corpus;
pub mod detector;
pub mod distill;
pub mod evaluate;
pub mod filter;
pub mod flow;
pub mod judge;
pub mod landmarks;
pub mod pretrain;
pub mod preview;
pub mod probe;
pub mod quantize;
pub mod ship;
pub mod student;
pub mod subject;
pub mod threshold;
pub mod train;
pub mod validate;
