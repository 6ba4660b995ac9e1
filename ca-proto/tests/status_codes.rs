//! ECA status codes and alarms against the tables of the protocol notes.

use ca_proto::alarm::{Alarm, AlarmSeverity, AlarmStatus};
use ca_proto::status::{EcaSeverity, EcaStatus};

#[test]
fn values_seen_on_the_wire_have_their_names() {
    // `caerr.h` of EPICS Base
    for (value, name) in [
        (1, "ECA_NORMAL"),
        (0x30, "ECA_ALLOCMEM"),
        (0x48, "ECA_TOLARGE"),
        (0x72, "ECA_BADTYPE"),
        (0x8e, "ECA_INTERNAL"),
        (0x98, "ECA_GETFAIL"),
        (0xa0, "ECA_PUTFAIL"),
        (0xf2, "ECA_BADMONID"),
        (0x116, "ECA_DEFUNCT"),
        (0x16a, "ECA_PUTCBINPROG"),
        (0x170, "ECA_NORDACCESS"),
        (0x178, "ECA_NOWTACCESS"),
        (0x1d0, "ECA_16KARRAYCLIENT"),
    ] {
        assert_eq!(EcaStatus(value).name(), Some(name));
    }
}

#[test]
fn all_61_values_are_those_of_the_table() {
    // `caerr.h` of EPICS Base
    const VALUES: [u32; 61] = [
        1, 10, 18, 26, 34, 40, 48, 56, 64, 72, 80, 88, 96, 106, 114, 123, 131, 142, 144, 152, 160,
        168, 176, 186, 192, 200, 210, 216, 224, 232, 242, 248, 259, 264, 278, 280, 288, 296, 304,
        312, 320, 330, 339, 347, 354, 362, 368, 376, 386, 392, 400, 410, 418, 424, 432, 440, 450,
        458, 464, 472, 480,
    ];
    let ours: Vec<u32> = EcaStatus::ALL.iter().map(|s| s.0).collect();
    assert_eq!(ours, VALUES);
    for (number, status) in EcaStatus::ALL.iter().enumerate() {
        assert_eq!(status.number() as usize, number);
        assert_eq!(status.name().map(|n| n.starts_with("ECA_")), Some(true));
        assert!(!status.message().ends_with('.'));
    }
}

#[test]
fn success_bit_and_severity_agree_with_the_table() {
    assert!(EcaStatus::NORMAL.is_success());
    assert!(EcaStatus::IODONE.is_success());
    assert!(!EcaStatus::GETFAIL.is_success());
    assert_eq!(EcaStatus::IODONE.severity(), EcaSeverity::Info);
    assert_eq!(EcaStatus::GETFAIL.severity(), EcaSeverity::Warning);
    assert_eq!(EcaStatus::BADTYPE.severity(), EcaSeverity::Error);
    assert_eq!(EcaStatus::INTERNAL.severity(), EcaSeverity::Fatal);
    assert_eq!(EcaStatus(4).severity().word(), "Fatal");
    assert_eq!(EcaStatus::GETFAIL.severity().word(), "Warning");
}

#[test]
fn status_prints_name_and_text_or_number() {
    assert_eq!(
        EcaStatus::GETFAIL.to_string(),
        "ECA_GETFAIL: Channel read request failed"
    );
    assert_eq!(EcaStatus(0x1234).to_string(), "ECA status 0x1234");
    assert_eq!(EcaStatus(0x1234).name(), None);
    assert_eq!(
        EcaStatus(61 << 3).message(),
        "new CA message number known only by server - see caerr.h"
    );
    // Known number with another severity: the text is found, the name is not.
    assert_eq!(EcaStatus(0x99).name(), None);
    assert_eq!(EcaStatus(0x99).message(), "Channel read request failed");
}

#[test]
fn alarm_names_are_those_of_the_tables() {
    // `alarmString.h` and `val2str` of EPICS Base
    let status: Vec<_> = AlarmStatus::ALL.iter().map(|s| s.to_string()).collect();
    assert_eq!(
        status.join(" "),
        "NO_ALARM READ WRITE HIHI HIGH LOLO LOW STATE COS COMM TIMEOUT HWLIMIT CALC SCAN LINK \
         SOFT BAD_SUB UDF DISABLE SIMM READ_ACCESS WRITE_ACCESS"
    );
    let severity: Vec<_> = AlarmSeverity::ALL.iter().map(|s| s.to_string()).collect();
    assert_eq!(severity.join(" "), "NO_ALARM MINOR MAJOR INVALID");
    assert!(
        AlarmStatus::ALL
            .iter()
            .enumerate()
            .all(|(n, s)| usize::from(s.0) == n)
    );
}

#[test]
fn unknown_alarms_keep_their_number() {
    assert_eq!(AlarmStatus(22).name(), None);
    assert_eq!(AlarmStatus(22).to_string(), "22");
    assert_eq!(AlarmSeverity(4).to_string(), "4");
}

#[test]
fn severities_are_ordered() {
    assert!(AlarmSeverity::INVALID > AlarmSeverity::MAJOR);
    assert!(AlarmSeverity::MAJOR > AlarmSeverity::MINOR);
    assert!(AlarmSeverity::MINOR > AlarmSeverity::NO_ALARM);
    assert_eq!(Alarm::UNDEFINED.to_string(), "UDF INVALID");
    assert_eq!(Alarm::default(), Alarm::NONE);
}
