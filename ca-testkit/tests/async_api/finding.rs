//! Servers that an earlier run knew, and interfaces that come up.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use ca_client::{Client, Unused};
use ca_server_sim::{Ioc, PvSpec};
use ca_testkit::runtime::SimRuntime;

use crate::rig::{CLIENT, IOC, OTHER_IOC, SECOND, builder, client, run, serve, usual};

/// A file that goes with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let name = format!("canter-finding-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn knowing(rt: &SimRuntime, file: &Path) -> Client {
    builder(rt, CLIENT).address_cache(file).build().unwrap()
}

#[test]
fn a_warm_start_of_a_hundred_thousand_channels_sends_no_broadcast() {
    const IOCS: u8 = 10;
    const EACH: usize = 10_000;
    let (rt, file) = (SimRuntime::new(1), File::new("warm"));
    rt.trace(|trace| trace.enabled = false);
    let names = |ioc: u8| (0..EACH).map(move |n| format!("IOC{ioc}:SIGNAL:{n:05}"));
    let iocs: Vec<_> = (0..IOCS)
        .map(|n| {
            let pvs = names(n).map(|name| (name, PvSpec::long(0)));
            serve(
                &rt,
                Ipv4Addr::new(10, 0, 0, 100 + n),
                Ioc::builder().pvs(pvs),
            )
        })
        .collect();
    let names: Vec<String> = (0..IOCS).flat_map(names).collect();
    let start = || {
        let client = knowing(&rt, &file.0);
        let before = rt.net(|net| net.stats.datagrams);
        let began = rt.now();
        run(&rt, async {
            let channels = client.connect_many(&names).timeout(60 * SECOND).await;
            assert!(channels.iter().all(Result::is_ok));
            assert_eq!(client.save_addresses().unwrap(), names.len());
            let metrics = client.metrics();
            assert_eq!(metrics.channels.connected, names.len());
            client.close().await;
            let datagrams = rt.net(|net| net.stats.datagrams) - before;
            (metrics, datagrams, rt.now() - began)
        })
    };
    let (cold, datagrams, _) = start();
    assert!(datagrams >= 1000 && cold.traffic.hinted == 0, "{cold:?}");
    assert!(matches!(cold.addresses_unused, Some(Unused::Unreadable(_))));
    let (warm, datagrams, took) = start();
    assert_eq!((datagrams, warm.traffic.searches), (0, 0), "{warm:?}");
    assert_eq!(
        (warm.traffic.hinted, warm.traffic.stale_hints),
        (names.len() as u64, 0)
    );
    assert_eq!(warm.addresses_unused, None);
    assert!(took < SECOND, "{took:?}");
    drop(iocs);
}

#[test]
fn a_pv_that_has_moved_is_found_where_it_is() {
    let (rt, file) = (SimRuntime::new(1), File::new("moved"));
    let ioc = serve(&rt, IOC, usual());
    let visit = |expected| {
        let client = knowing(&rt, &file.0);
        let began = rt.now();
        run(&rt, async {
            let x = client.connect("x").await.unwrap();
            let server = x.info().unwrap().server().unwrap();
            assert_eq!(*server.ip(), expected);
            client.save_addresses().unwrap();
            client.close().await;
            rt.now() - began
        })
    };
    visit(IOC);
    // Its host is there, and nobody listens.
    run(&rt, ioc.stop());
    let _other = serve(&rt, OTHER_IOC, usual());
    visit(OTHER_IOC);
    // The host is cut off: within the time for hints.
    let mut text = std::fs::read_to_string(&file.0).unwrap();
    text = text.replace("10.0.0.2", "10.0.0.77");
    std::fs::write(&file.0, text).unwrap();
    rt.partition(CLIENT, Ipv4Addr::new(10, 0, 0, 77), true);
    assert!(visit(OTHER_IOC) < 3 * SECOND);
}

#[test]
fn a_file_of_another_facility_is_as_good_as_none() {
    let (rt, file) = (SimRuntime::new(1), File::new("other"));
    let _ioc = serve(&rt, IOC, usual());
    let text =
        "canter-addresses 1\nwritten 0\nsearched 192.168.7.255:5064\n@192.168.7.4:5064 13\nx\n";
    std::fs::write(&file.0, text).unwrap();
    let client = knowing(&rt, &file.0);
    run(&rt, async {
        client.connect("x").await.unwrap();
        let metrics = client.metrics();
        assert_eq!(metrics.addresses_unused, Some(Unused::OtherPlace));
        assert_eq!((metrics.traffic.hinted, metrics.traffic.searches), (0, 1));
        client.close().await;
    });
}

#[test]
fn an_interface_that_comes_up_is_searched() {
    let rt = SimRuntime::new(1);
    let _ioc = serve(&rt, IOC, usual());
    rt.show_interface(CLIENT, false);
    let client = client(&rt, CLIENT);
    run(&rt, async {
        let x = client.open("x").unwrap();
        assert!(x.connected().timeout(60 * SECOND).await.is_err());
        assert_eq!(client.search_addrs(), ["127.0.0.1:5064".parse().unwrap()]);
        let cost = &client.most_searched(5)[0];
        assert_eq!((cost.name.to_text().as_str(), cost.answered), ("x", false));
        assert!(cost.datagrams > 5, "{cost:?}");
        let explained = client.explain("x").timeout(SECOND).await.to_string();
        assert!(
            explained.contains("times, and nobody ever answered"),
            "{explained}"
        );
        rt.show_interface(CLIENT, true);
        x.connected().timeout(11 * SECOND).await.unwrap();
        assert_eq!(client.search_addrs(), ["10.0.0.255:5064".parse().unwrap()]);
        client.close().await;
    });
}
