//! The real program against an IOC in the test process, with an environment of its own.

mod bench;
mod common;
mod conformance;
mod conformance_client;
mod demo;
mod get;
mod info;
mod ioc;
mod ioc_service;
mod monitor;
mod proxy;
mod put;
mod raw;
mod scripted;
mod told;
