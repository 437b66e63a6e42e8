//! The programs from outside: real servers, real clients, real files.
//!
//! One scenario a file; `support` starts and stops what they need.

mod support;

mod analytics;
mod auth;
mod bench;
mod cardinality;
mod client;
mod commands;
mod docs;
mod dump;
mod hostile;
mod http;
mod kill;
mod limits;
mod memory;
mod neighbors;
mod pipelining;
mod python;
mod real_data;
mod recovery;
mod regimes;
mod settings;
mod similar;
mod tls;
mod watches;
