//! The break tables of EPICS Base: raw values and what they mean, for `LINR`.

/// Name of a table, and its points: raw value, value in engineering units.
pub(crate) type BreakTableDef = (&'static str, &'static [(f64, f64)]);

/// Thermocouples of types J and K, in degrees of Celsius and Fahrenheit (`bptType*.dbd`).
pub(crate) const BREAK_TABLES: &[BreakTableDef] = &[
    (
        "typeJdegC",
        &[
            (0.0, 0.0),
            (365.023256, 67.0),
            (1000.046512, 178.0),
            (3007.255814, 524.0),
            (3543.383721, 613.0),
            (4042.988372, 692.0),
            (4101.488372, 701.0),
        ],
    ),
    (
        "typeJdegF",
        &[
            (0.0, 32.0),
            (425.209311, 161.0),
            (1218.865107, 390.0),
            (2893.652879, 869.0),
            (3603.24509, 1068.0),
            (4098.753854, 1201.0),
        ],
    ),
    (
        "typeKdegC",
        &[
            (0.0, 0.0),
            (299.2687, 74.0),
            (660.752744, 163.0),
            (1104.793671, 274.0),
            (1702.338802, 418.0),
            (2902.787322, 703.0),
            (3427.599045, 831.0),
            (3912.323051, 953.0),
            (4098.869854, 1001.0),
        ],
    ),
    (
        "typeKdegF",
        &[
            (0.0, 32.0),
            (328.639899, 178.0),
            (699.55051, 343.0),
            (1140.614626, 541.0),
            (1811.190845, 831.0),
            (2920.350505, 1305.0),
            (3472.846568, 1548.0),
            (3985.155686, 1781.0),
            (4097.083767, 1833.0),
        ],
    ),
];
