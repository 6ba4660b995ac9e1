//! Values as they arrive. The elements of a large array are put in the order of this machine where they were received,
//! so that arrays of Python are views of that memory: no byte of them is moved.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use ca_client::ca_proto::wire::{Command, Frame, Header};
use ca_client::{DbrType, NativeType, Reading};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// From so many bytes on elements are turned where they lie; below, a copy costs less than an object that lends.
const LARGE: usize = 4096;

/// What a server told of a PV at one time.
#[derive(Clone, Debug)]
pub(crate) enum Arrived {
    /// As it came.
    Whole(Reading),
    /// A large array.
    Turned(Box<Turned>),
}

/// A large array, whose elements are in the order of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Turned {
    /// What came beside the elements: a reading of none.
    head: Reading,
    count: u32,
    elements: Bytes,
}

impl Arrived {
    /// Turns the elements of a large array, in place if nobody else has them. It takes its time, so not with the GIL.
    // hot: every value; all but large arrays pass through.
    pub(crate) fn new(reading: Reading) -> Self {
        if reading.payload().as_slice().len() < LARGE || reading.native() == NativeType::String {
            return Self::Whole(reading);
        }
        let (ty, count) = (reading.ty(), reading.count());
        let head = &reading.payload().as_slice()[..ty.value_offset()];
        let Some(head) = made(ty, 0, &Frame::new(header(), head)) else {
            return Self::Whole(reading);
        };
        let elements = reading.value_bytes();
        let size = reading.native().size();
        // It shares the elements.
        drop(reading);
        let elements = turned(elements, size);
        Self::Turned(Box::new(Turned {
            head,
            count,
            elements,
        }))
    }

    /// Type, alarm, time stamp and what else is beside the elements.
    pub(crate) const fn head(&self) -> &Reading {
        match self {
            Self::Whole(reading) => reading,
            Self::Turned(turned) => &turned.head,
        }
    }

    pub(crate) const fn count(&self) -> u32 {
        match self {
            Self::Whole(reading) => reading.count(),
            Self::Turned(turned) => turned.count,
        }
    }

    /// The elements of a large array in the order of this machine.
    pub(crate) const fn turned(&self) -> Option<&Bytes> {
        match self {
            Self::Whole(_) => None,
            Self::Turned(turned) => Some(&turned.elements),
        }
    }

    /// It as it came, with at most so many elements; those of a large array are copied.
    pub(crate) fn as_it_came(&self, most: u32) -> Cow<'_, Reading> {
        let turned = match self {
            Self::Whole(reading) => return Cow::Borrowed(reading),
            Self::Turned(turned) => turned,
        };
        let size = turned.head.native().size();
        let count = turned.count.min(most);
        let head = turned.head.payload().as_slice();
        let part = &turned.elements[..(count as usize * size).min(turned.elements.len())];
        let mut payload = Vec::with_capacity(head.len() + part.len());
        payload.extend_from_slice(head);
        payload.extend_from_slice(part);
        turn(&mut payload[head.len()..], size);
        let frame = Frame::owned(header(), payload.into());
        match made(turned.head.ty(), count, &frame) {
            Some(reading) => Cow::Owned(reading),
            None => Cow::Borrowed(&turned.head),
        }
    }

    /// Nanoseconds since 1970.
    pub(crate) fn nanos(&self) -> Option<i64> {
        let stamp = self.head().timestamp()?;
        i64::try_from(stamp.to_unix().as_nanos()).ok()
    }

    pub(crate) fn severity(&self) -> Option<u16> {
        Some(self.head().severity()?.0)
    }

    /// The first element as a number, from any type but strings.
    pub(crate) fn first_number(&self) -> Option<f64> {
        self.as_it_came(1).get_f64(0)
    }
}

fn header() -> Header {
    Header::new(Command::READ_NOTIFY)
}

fn made(ty: DbrType, count: u32, frame: &Frame<'_>) -> Option<Reading> {
    Reading::from_frame(ty, count, frame).ok()
}

/// Elements of so many bytes in the other order, where they are if they are nobody else's.
fn turned(elements: Bytes, size: usize) -> Bytes {
    if size == 1 || cfg!(target_endian = "big") {
        return elements;
    }
    let mut own = elements
        .try_into_mut()
        .unwrap_or_else(|shared| BytesMut::from(&*shared));
    turn(&mut own, size);
    own.freeze()
}

fn turn(elements: &mut [u8], size: usize) {
    if cfg!(target_endian = "big") {
        return;
    }
    match size {
        2 => each(elements, |part: [u8; 2]| {
            u16::from_be_bytes(part).to_ne_bytes()
        }),
        4 => each(elements, |part: [u8; 4]| {
            u32::from_be_bytes(part).to_ne_bytes()
        }),
        8 => each(elements, |part: [u8; 8]| {
            u64::from_be_bytes(part).to_ne_bytes()
        }),
        _ => {}
    }
}

fn each<const N: usize>(elements: &mut [u8], turn: impl Fn([u8; N]) -> [u8; N]) {
    let (parts, _) = elements.as_chunks_mut::<N>();
    for part in parts {
        *part = turn(*part);
    }
}

/// Lends the elements of an array to who can look at memory: NumPy, and `ctypes`. They are only to be read, and stay
/// where they are as long as this object is there.
#[pyclass(frozen, module = "canter._canter")]
pub(crate) struct Lent {
    elements: Bytes,
    code: &'static str,
}

impl Lent {
    pub(crate) const fn new(elements: Bytes, code: &'static str) -> Self {
        Self { elements, code }
    }
}

#[pymethods]
impl Lent {
    fn __len__(&self) -> usize {
        self.elements.len()
    }

    /// Where the first byte is.
    #[getter]
    fn address(&self) -> usize {
        self.elements.as_ptr().expose_provenance()
    }

    /// Code of the elements in Python's `struct` and NumPy.
    #[getter]
    const fn code(&self) -> &'static str {
        self.code
    }

    /// Version 3 of NumPy's protocol.
    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (kind, size) = match self.code {
            "d" => ("<f8", 8),
            "f" => ("<f4", 4),
            "i" => ("<i4", 4),
            "h" => ("<i2", 2),
            "H" => ("<u2", 2),
            _ => ("|u1", 1),
        };
        let kind = match cfg!(target_endian = "big") {
            true => kind.replace('<', ">"),
            false => kind.to_owned(),
        };
        let interface = PyDict::new(py);
        interface.set_item("version", 3)?;
        interface.set_item("typestr", kind)?;
        interface.set_item("shape", (self.elements.len() / size,))?;
        interface.set_item("data", (self.address(), true))?;
        Ok(interface)
    }
}
