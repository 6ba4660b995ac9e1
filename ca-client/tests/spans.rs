//! Spans of circuits and channels, as a subscriber sees them.

use std::io;
use std::sync::{Arc, Mutex};

use ca_client::Client;
use ca_server_sim::{Ioc, NetConfig, PvSpec};

/// What was written.
#[derive(Clone, Default)]
struct Pages(Arc<Mutex<Vec<u8>>>);

impl Pages {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Pages {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a subscriber at this level writes while a client connects, reads, loses its IOC and closes.
async fn story(level: tracing::Level) -> (String, std::net::SocketAddrV4) {
    let pages = Pages::default();
    let writer = pages.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let pvs = Ioc::builder()
        .pv("a", PvSpec::double(1.5))
        .pv("b", PvSpec::double(2.5));
    let ioc = pvs.serve(NetConfig::new()).await.unwrap();
    let client = Client::builder()
        .isolated([ioc.udp_addr()])
        .build()
        .unwrap();
    let one = client.connect("a").await.unwrap();
    let many = client.connect_many(&["b"]).await;
    assert_eq!(one.get::<f64>().await.unwrap(), 1.5);
    let mut changes = one.changes();
    ioc.stop().await;
    while !matches!(
        changes.next().await,
        Some(ca_client::ClientEvent::Disconnected { .. })
    ) {}
    drop((one, many));
    client.close().await;
    (pages.text(), ioc.addr())
}

#[tokio::test]
async fn each_circuit_and_each_channel_has_its_span() {
    let (text, server) = story(tracing::Level::DEBUG).await;
    let of = |part: String| {
        let lines = text.lines().filter(|line| line.contains(&part));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let circuit = of(format!("circuit{{server={server}}}"));
    assert!(circuit[0].contains("connected to"), "{text}");
    assert!(
        circuit
            .iter()
            .any(|line| line.contains("the circuit ends: ")),
        "{text}"
    );
    for pv in ["a", "b"] {
        let channel = of(format!("channel{{pv=\"{pv}\"}}"));
        assert!(channel[0].contains("connected"), "{text}");
        assert!(channel.last().unwrap().contains("not connected"), "{text}");
    }
    // The IOC's side of the same circuit.
    let served = of("circuit{client=127.0.0.1:".to_owned());
    assert!(served[0].contains("has connected"), "{text}");
    assert!(
        served.last().unwrap().contains("the circuit ends"),
        "{text}"
    );
}

#[tokio::test]
async fn who_wants_messages_only_sees_no_spans() {
    let (text, _) = story(tracing::Level::INFO).await;
    assert!(!text.contains("channel{"), "{text}");
    assert!(!text.contains("circuit{"), "{text}");
}
