//! Devices, by prefix and declared.

use ca_kit::{DeviceError, Kit};
use ca_server_sim::PvSpec;

use crate::rig::{Rig, SECOND, survives, usual};

ca_kit::device! {
    /// A motor.
    struct Motor {
        /// Where it is to go.
        target: f64 = "$(P)$(M).VAL",
        position: f64 = "$(P)$(M=m1).RBV",
        name: String = "$(P)$(M).DESC",
    }
}

fn motors() -> Rig {
    let mut ioc = usual();
    ioc = ioc.pv("x:m1.DESC", PvSpec::string("upstream slit"));
    for field in ["VAL", "RBV"] {
        ioc = ioc.pv(format!("x:m1.{field}"), PvSpec::double(1.5));
    }
    Rig::with(ioc)
}

#[test]
fn attributes_are_pvs_with_the_prefix() {
    let rig = motors();
    rig.run(async {
        let motor = rig.client.device("x:m1.", ["VAL", "RBV", "HLM"]).unwrap();
        motor.put("VAL", 2.5).wait().await.unwrap();
        assert_eq!(motor.get::<f64>("VAL").await, Ok(2.5));
        let error = motor.get::<f64>("RVB").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "device \"x:m1.\" has no attribute \"RVB\"; did you mean \"RBV\"?"
        );
        assert!(matches!(
            motor.put("rbv?", 1.0).await,
            Err(DeviceError::NoSuchAttribute { .. })
        ));
        let missing = motor.get::<f64>("HLM").timeout(SECOND).await.unwrap_err();
        assert!(matches!(missing, DeviceError::Get(_)), "{missing}");
        let all = motor.group().snapshot().timeout(SECOND).await;
        assert_eq!(all.members[0].member.name, "VAL");
        assert_eq!(motor.channel("RBV").unwrap().name(), "x:m1.RBV");
        assert!(rig.client.device("x:", ["VAL", "VAL"]).is_err());
    });
}

#[test]
fn declared_devices_have_types_and_macros() {
    let rig = motors();
    rig.run(async {
        let motor = Motor::open(&rig.client, &[("P", "x:"), ("M", "m1")]).unwrap();
        motor.target.put(4.0).wait().await.unwrap();
        assert_eq!(motor.target.get().await, Ok(4.0));
        assert_eq!(motor.position.get().await, Ok(1.5));
        assert_eq!(
            motor.name.get().timeout(SECOND).await.as_deref(),
            Ok("upstream slit")
        );
        assert_eq!(motor.position.channel().name(), "x:m1.RBV");
        let error = Motor::open(&rig.client, &[("P", "x:")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"$(P)$(M).VAL\" has the macro \"M\", for which there is no value; give it one"
        );
    });
}

#[test]
fn devices_may_be_dropped_at_any_poll() {
    survives(
        async |client| client.device("", ["a"]).unwrap().get::<f64>("a").await,
        |_, _, _| {},
    );
    survives(
        async |client| client.device("", ["a"]).unwrap().put("a", 0.0).wait().await,
        |_, _, _| {},
    );
}
