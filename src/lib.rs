//! fanout: run files of lines through AWS Step Functions Distributed Maps, watch and repair them.
//!
//! In reading order: [`model`] is the plain data everyone shares, [`config`] the settings,
//! [`client`] the one way to AWS or to the embedded engine, [`lines`] what became of each line of a
//! file, [`workflow`] the handlers that the shipped state machine runs, [`operations`] what an operator does that takes more than one call,
//! [`engine`] Step Functions on this machine, [`local`] engine and workflow together behind a
//! loopback endpoint, [`tui`] the dashboard and [`cli`] the verbs.

/// A run of a million lines is mostly small JSON values made and dropped on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub mod model;

pub mod config;

pub mod client;

pub mod lines;

pub mod workflow;

pub mod operations;

pub mod engine;

pub mod local;

pub mod tui;

pub mod cli;
