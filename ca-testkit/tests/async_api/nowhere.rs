//! A client that has nobody to ask for names says so at once.

use std::net::SocketAddrV4;
use std::time::Duration;

use ca_client::{Client, ClientBuilder, ConnectError, GetError, PutError};

use crate::rig::{CLIENT, IOC, SECOND, run, serve, usual};
use ca_testkit::runtime::SimRuntime;

fn without_addresses(rt: &SimRuntime) -> ClientBuilder {
    Client::builder().isolated([]).runtime(rt.host(CLIENT))
}

/// Nothing that needs a connection waits for one that cannot come, and each error has the remedy. A
/// repeater changes nothing: beacons hasten searches, and there are none.
#[test]
fn nowhere_to_search_fails_at_once() {
    for repeater in [0, 5065] {
        let rt = SimRuntime::new(0);
        let client = without_addresses(&rt).repeater_port(repeater).build();
        let client = client.unwrap();
        let begin = rt.now();
        run(&rt, async {
            let refused = client.connect("x").await.unwrap_err();
            assert!(
                matches!(refused, ConnectError::NowhereToSearch(_)),
                "{refused:?}"
            );
            for part in ["\"x\"", "nowhere", "EPICS_CA_ADDR_LIST", "addr_list"] {
                assert!(refused.to_string().contains(part), "{refused}");
            }
            for refused in client.connect_many(&["x", "y"]).await {
                let refused = refused.unwrap_err();
                assert!(
                    matches!(refused, ConnectError::NowhereToSearch(_)),
                    "{refused:?}"
                );
            }
            // A channel that is not waited for can be opened; what waits for it is told.
            let x = client.open("x").unwrap();
            let refused = x.connected().await.unwrap_err();
            assert!(matches!(refused, ConnectError::NowhereToSearch(_)));
            let refused = x.get::<f64>().await.unwrap_err();
            assert!(matches!(refused, GetError::NotConnected(_)), "{refused:?}");
            assert!(refused.to_string().contains("nowhere"), "{refused}");
            let refused = x.put(1.0).await.unwrap_err();
            assert!(matches!(refused, PutError::NotConnected(_)));
            let refused = x.put(1.0).wait().await.unwrap_err();
            assert!(matches!(refused, PutError::NotConnected(_)));
            for refused in client.get_many::<f64>([&x, &x]).timeout(SECOND).await {
                assert!(matches!(refused, Err(GetError::NotConnected(_))));
            }
            for refused in client.get_many::<f64>(&["x", "y"]).timeout(SECOND).await {
                let told = refused.unwrap_err().to_string();
                assert!(told.contains("nowhere"), "{told}");
            }
            for refused in client.put_many([(&x, 1.0)]).wait().timeout(SECOND).await {
                assert!(matches!(refused, Err(PutError::NotConnected(_))));
            }
        });
        assert_eq!(rt.now(), begin, "nothing was waited for");
    }
}

/// A name server is somebody to ask, also one that cannot be reached at the moment.
#[test]
fn a_name_server_is_waited_for() {
    let rt = SimRuntime::new(0);
    let name_server = SocketAddrV4::new(IOC, 5064);
    let client = without_addresses(&rt)
        .name_servers([name_server])
        .timeout(Duration::from_secs(60));
    let client = client.build().unwrap();
    run(&rt, async {
        let refused = client.open("x").unwrap();
        let refused = refused.connected().timeout(SECOND).await.unwrap_err();
        assert!(matches!(refused, ConnectError::TimedOut(_)), "{refused:?}");
    });
    assert!(rt.now() - ca_client::Instant::ZERO >= SECOND);
    let _ioc = serve(&rt, IOC, usual());
    run(&rt, async {
        let x = client.connect("x").await.unwrap();
        assert_eq!(x.get::<f64>().await, Ok(1.5));
    });
}
