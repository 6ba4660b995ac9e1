//! Setters of the builder commute, and what contradicts is an error.

use std::net::SocketAddrV4;
use std::time::Duration;

use ca_client::{BuildError, Client, ClientBuilder, ConnectError, Phase, Remedy};

const SERVER: &str = "127.0.0.1:26301";

fn server() -> SocketAddrV4 {
    SERVER.parse().unwrap()
}

type Setter = fn(ClientBuilder) -> ClientBuilder;

#[tokio::test]
async fn the_order_of_the_setters_does_not_matter() {
    let from = || {
        ClientBuilder::from_env(|name| match name {
            "EPICS_CA_ADDR_LIST" => Some("127.0.0.2".to_owned()),
            "EPICS_CA_CONN_TMO" => Some("77".to_owned()),
            _ => None,
        })
        .user("operator")
        .host("console")
    };
    let sets: [Setter; 7] = [
        |it| it.addr_list("127.0.0.1 127.0.0.1:7"),
        |it| it.server_port(26_302),
        |it| it.without_env(),
        |it| it.auto_addr_list(false),
        |it| it.repeater_port(0),
        |it| it.params(|params| params.priority(7)),
        |it| it.priority(42).read_only(true),
    ];
    let text = |order: &mut dyn Iterator<Item = &Setter>| {
        let client = order.fold(from(), |it, set| set(it)).build().unwrap();
        let params = client.effective_config().params().clone();
        assert_eq!((params.priority, params.read_only), (7, true));
        assert_eq!(params.search_addrs.len(), 2);
        client.effective_config().to_string()
    };
    let forth = text(&mut sets.iter());
    assert_eq!(forth, text(&mut sets.iter().rev()));
    assert!(forth.contains("127.0.0.1:26302"), "{forth}");
    assert!(!forth.contains("77"), "{forth}");
}

#[tokio::test]
async fn what_contradicts_is_an_error() {
    let builder = || Client::builder().without_env();
    let wrong = [
        builder().addr_list(SERVER).search_addrs([server()]),
        builder().isolated([server()]).addr_list(SERVER),
        builder().search_addrs([server()]).isolated([server()]),
        builder().isolated([server()]).auto_addr_list(true),
        builder().own_repeater(true).isolated([server()]),
        builder().own_repeater(true).repeater_port(0),
        builder().isolated([server()]).priority(100),
    ];
    for builder in wrong {
        let error = builder.build().unwrap_err();
        assert!(matches!(error, BuildError::Contradiction { .. }), "{error}");
    }
}

#[tokio::test]
async fn errors_tell_where_how_long_and_what_to_do() {
    let client = Client::builder().isolated([server()]).build().unwrap();
    let get = client
        .get::<f64>("nobody")
        .timeout(Duration::from_millis(30));
    let error = get.await.unwrap_err();
    assert_eq!((error.pv(), error.server()), ("nobody", None));
    assert!(matches!(error.phase(), Some(Phase::Searching { .. })));
    assert!(error.is_timeout() && error.elapsed() >= Duration::from_millis(30));
    assert_eq!(error.remedy(), Remedy::CheckSearch);

    let names = [
        "x[0:1]",
        "x{\"arr\":{}}",
        "x$",
        "x.[0:1]",
        "x.DESC$",
        "a[b",
        "x$y",
    ];
    let misplaced = names.map(|name| {
        let get = client.get::<f64>(name).timeout(Duration::from_millis(30));
        async { get.await.unwrap_err().remedy() == Remedy::PlaceModifiers }
    });
    let misplaced = futures_util::future::join_all(misplaced).await;
    assert_eq!(misplaced, [true, true, true, false, false, false, false]);

    let error = client.connect("").await.unwrap_err();
    assert!(matches!(error, ConnectError::BadName { .. }));
    assert_eq!((error.pv(), error.phase()), ("", None));
    assert!(!error.is_timeout() && error.elapsed().is_zero());
    assert_eq!(error.remedy(), Remedy::CheckSpelling);

    let put = client.put("nobody", "a\0b").wait().await.unwrap_err();
    assert_eq!((put.pv(), put.remedy()), ("nobody", Remedy::OtherValue));
}
