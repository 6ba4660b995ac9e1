//! The PVs that every server of the tests has: those of `peers/ioc.db` and `peers/common.py`.

use ca_proto::dbr::{EnumIndex, NativeType, Value};

/// The scalar of a native type.
#[derive(Clone, Copy, Debug)]
pub struct Scalar {
    /// Name without prefix; also that of the checks.
    pub name: &'static str,
    /// Native type.
    pub native: NativeType,
    /// Low and high display limit, for numbers.
    pub display: Option<(f64, f64)>,
}

const fn scalar(name: &'static str, native: NativeType, display: Option<(f64, f64)>) -> Scalar {
    Scalar {
        name,
        native,
        display,
    }
}

const FULL: Option<(f64, f64)> = Some((-100.0, 100.0));

/// One scalar of every native type.
pub const SCALARS: [Scalar; 7] = [
    scalar("double", NativeType::Double, FULL),
    scalar("float", NativeType::Float, FULL),
    scalar("long", NativeType::Long, FULL),
    scalar("short", NativeType::Short, FULL),
    scalar("char", NativeType::Char, Some((0.0, 100.0))),
    scalar("enum", NativeType::Enum, None),
    scalar("string", NativeType::String, None),
];

impl Scalar {
    /// The value every check finds and leaves.
    pub fn initial(&self) -> Value {
        match self.native {
            NativeType::Double => 3.25f64.into(),
            NativeType::Float => 1.5f32.into(),
            NativeType::Long => 42i32.into(),
            NativeType::Short => 7i16.into(),
            NativeType::Char => 65u8.into(),
            NativeType::Enum => EnumIndex(1).into(),
            NativeType::String => "hello".into(),
        }
    }

    /// A value to write.
    pub fn written(&self) -> Value {
        match self.native {
            NativeType::Double => (-2.5f64).into(),
            NativeType::Float => 0.75f32.into(),
            NativeType::Long => 4242i32.into(),
            NativeType::Short => (-8i16).into(),
            NativeType::Char => 90u8.into(),
            NativeType::Enum => EnumIndex(2).into(),
            NativeType::String => "written".into(),
        }
    }
}

/// Texts of the states of `enum`.
pub const STATES: [&str; 4] = ["zero", "one", "two", "three"];
/// Units of all numbers.
pub const UNITS: &str = "mm";
/// Precision of `double` and `float`.
pub const PRECISION: i16 = 3;
/// Control limits of `double`, and those that `long` has.
pub const CONTROL: (f64, f64) = (-50.0, 50.0);
/// Control limits of `long`.
pub const CONTROL_LONG: (f64, f64) = (-5000.0, 5000.0);
/// LOLO and HIHI of `double`.
pub const ALARM: (f64, f64) = (-90.0, 90.0);
/// LOW and HIGH of `double`.
pub const WARNING: (f64, f64) = (-80.0, 80.0);
/// Arrays of `DOUBLE` whose elements are their indexes: name, length, capacity.
pub const ARRAYS: [(&str, u32, u32); 6] = [
    ("wf0", 0, 10),
    ("wf1", 1, 1),
    ("wf5", 5, 5),
    ("wf9k", 9_000, 9_000),
    ("wf70k", 70_000, 70_000),
    ("wf1m", 1_000_000, 1_000_000),
];
/// What `longstring` holds: too long for a `DBR_STRING`.
pub const LONG_STRING: &str =
    "a string of more than forty characters, which DBR_STRING cannot hold";
/// DESC of `double`.
pub const DESCRIPTION: &str = "all metadata";

/// The arrays of five elements of each type (four strings): name and value.
pub fn arrays_of_each_type() -> [(&'static str, Value); 7] {
    [
        ("wfstr", Value::strings(&STATES)),
        ("wfshort", [0i16, 1, 2, 3, 4].into()),
        ("wffloat", [0f32, 1.0, 2.0, 3.0, 4.0].into()),
        ("wfenum", [0, 1, 2, 3, 4].map(EnumIndex).into()),
        ("wfuchar", [0u8, 1, 2, 254, 255].into()),
        ("wflong", [0i32, 1, 2, 3, 4].into()),
        ("wf5", [0f64, 1.0, 2.0, 3.0, 4.0].into()),
    ]
}

/// The elements of one of [`ARRAYS`].
pub fn ramp(length: u32) -> Vec<f64> {
    (0..length).map(f64::from).collect()
}

/// The PV whose name has 60 characters, the longest a record can have. Its value is `sixty`.
pub fn long_name(prefix: &str) -> String {
    let fill = 60usize.saturating_sub(prefix.len() + 1);
    format!("{prefix}:{}", "n".repeat(fill))
}
