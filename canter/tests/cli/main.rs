//! The real program against an IOC in the test process, with an environment of its own.

mod bench;
#[cfg(unix)]
mod book;
mod common;
mod conformance;
mod conformance_client;
mod demo;
mod explain;
mod get;
mod info;
mod ioc;
mod ioc_service;
mod json;
mod lint;
mod monitor;
mod moves;
mod proxy;
mod put;
mod raw;
#[cfg(unix)]
mod record;
mod ring;
mod scripted;
mod shell;
mod told;
#[cfg(unix)]
mod words;
