//! The record types of EPICS Base and of common support modules: one file each, and [`TYPES`].
//!
//! # How to write one
//! A file has a table of the type's own fields ([`fields!`]: facts of its `.dbd`), functions, and a
//! [`TypeDef`] that names them. A type whose `support` is [`Support::HOLDER`] holds its values: it is
//! stamped with the time, shows UDF, and goes on to FLNK. To make it live, write a [`Support`] and name it
//! there; nothing else has to be touched. `ai.rs` is an example of an input, `ao.rs` of an output,
//! `calc.rs` of one without a device, `waveform.rs` of an array.
//!
//! - **Fields** have constants: `cx.f64(HOPR)`, `cx.u16(SELM)`, `cx.text(EGU)`, `cx.set(VAL, 1.5)`. What is
//!   set is converted to the field's type, and nobody is told of it. State of the record that all types have
//!   is reached by functions of its own: [`Cx::udf`], [`Cx::nsev`], [`Cx::time`]; the accessors of single
//!   types do not know it.
//! - **`process`** is called with stage 0. It must not wait: where it needs a value through a link, it
//!   *wants* it ([`Cx::want`], [`Cx::want_into`], [`Cx::want_put`], [`Cx::want_forward`]) and returns
//!   [`Flow::Then`] with the number of the stage that goes on, in which [`Cx::got`] has one entry for each
//!   thing wanted by the stage before, in its order (none for forward links). In between the links' targets
//!   are processed if they have to be, and what they set in motion; PACT is set all the time. What comes
//!   last, when subscribers were told, is [`Flow::Done`]: FLNK, and the end. A device that takes time
//!   returns [`Flow::Wait`]. What is written with [`Cx::want_put_and_wait`] goes on with a stage of its own
//!   when all is done that this sets in motion; the record returns [`Flow::Idle`] meanwhile, or
//!   [`Flow::Stop`] if it may be processed again before.
//! - **Links** that are empty or constant give [`Got::Nothing`] when they are read, and leave fields alone;
//!   their values are loaded by `init` ([`Cx::load`], [`Cx::constant`]). A link that cannot be used gives
//!   [`Got::Failed`], and has raised the alarm already.
//! - **Device support and simulation mode** are done by [`Input::step`] and [`Output`], which use the
//!   stages from 16 on.
//! - **Alarms**: [`Cx::alarm`] raises one, [`Cx::reset_alarms`] makes the worst one count and gives the
//!   mask to tell VAL with. Types with limits have [`AlarmFields::check`](limits::AlarmFields::check) and
//!   [`limits::monitor`].
//! - **`special`** is called before and after a field of special `Mod`, `Reset`, `LinConv` or `Calc` is
//!   written; a type without one refuses such puts.
//! - **`meta`** fills in units, digits and limits; what it leaves alone has none. **`states`** gives the
//!   texts of a VAL that is an enum. **`array`** says that a field is an array; its elements are the field's
//!   value. **`scalar`** says the type of a single value that the table leaves open.
//! - State that no client sees goes to a field of type `noaccess`, as a [`Val`] (a calc's program).
//!
//! The order of what is posted, and the masks, are those of the reference: say which function of which file
//! of EPICS Base a rule comes from, and write a test in `process/tests/`.

use super::schema::TypeDef;

pub(crate) mod c_format;
mod calc_links;
mod integers;
pub(crate) mod limits;
mod long_text;
mod time_format;

pub(crate) use time_format::format as time_text;

/// What the files of record types use.
mod prelude {
    #![allow(unused_imports)]
    pub(super) use ca_proto::dbr::NoState;
    pub(super) use ca_proto::wire::message::EventMask;

    pub(super) use super::limits::{self, limits};
    pub(super) use crate::process::{
        ANSWERED, Cx, Drive, Got, Input, Output, PutError, Simulation, View, drive, simulation,
        soft_input, stat,
    };
    pub(super) use crate::record::common;
    pub(super) use crate::record::field::{Special::*, *};
    pub(super) use crate::record::schema::{DeviceAddress, DeviceKind, TypeDef};
    pub(super) use crate::record::support::{ArrayShape, Flow, Meta, Support};
    pub(super) use crate::record::val::{Array, Conversion, Val};
}

macro_rules! types {
    ($($name:ident,)+) => {
        $(mod $name;)+
        /// All of them.
        pub(crate) const TYPES: &[TypeDef] = &[$($name::TYPE),+];
    };
}

// In the order of `stdRecords.dbd`, in which records are begun with.
types! {
    aai,
    aao,
    acalcout,
    ai,
    ao,
    a_sub,
    bi,
    bo,
    busy,
    calc,
    calcout,
    compress,
    dfanout,
    epid,
    event,
    fanout,
    histogram,
    int64in,
    int64out,
    longin,
    longout,
    lsi,
    lso,
    mbbi,
    mbbi_direct,
    mbbo,
    mbbo_direct,
    motor,
    permissive,
    printf,
    scalcout,
    scaler,
    sel,
    seq,
    sseq,
    state,
    stringin,
    stringout,
    sub,
    sub_array,
    swait,
    throttle,
    timestamp,
    transform,
    waveform,
}
