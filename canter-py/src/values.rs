//! Between values of the wire and objects of Python.

use bytes::Bytes;
use ca_client::{
    Element, EnumIndex, IntoValue, LongString, NativeType, Strings, Value, ValueError, ValueRef,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyList, PyModule, PyString, PyType};

use crate::arrived::{Arrived, Lent};
use crate::errors;
use crate::fits;
use crate::reading::Reading;

/// Classes and helpers of `canter._values`.
struct Kinds {
    float: Py<PyType>,
    int: Py<PyType>,
    text: Py<PyType>,
    state: Py<PyType>,
    texts: Py<PyType>,
    array: Py<PyAny>,
    plain_array: Py<PyAny>,
    to_wire: Py<PyAny>,
}

static KINDS: PyOnceLock<Kinds> = PyOnceLock::new();

fn kinds(py: Python<'_>) -> PyResult<&Kinds> {
    KINDS.get_or_try_init(py, || {
        let module = PyModule::import(py, "canter._values")?;
        let class = |name: &str| -> PyResult<Py<PyType>> {
            Ok(module.getattr(name)?.cast_into::<PyType>()?.unbind())
        };
        Ok(Kinds {
            float: class("FloatValue")?,
            int: class("IntValue")?,
            text: class("StrValue")?,
            state: class("EnumValue")?,
            texts: class("StrList")?,
            array: module.getattr("make_array")?.unbind(),
            plain_array: module.getattr("make_plain_array")?.unbind(),
            to_wire: module.getattr("to_wire")?.unbind(),
        })
    })
}

/// The name of the attribute that carries the reading.
fn carrier(py: Python<'_>) -> &Bound<'_, PyString> {
    pyo3::intern!(py, "_reading")
}

/// The value in a class that carries the reading.
pub(crate) fn augmented(slf: &Bound<'_, Reading>) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let kinds = kinds(py)?;
    let this = slf.get();
    // The whole of what is no large array.
    let head = this.reading.head();
    let made = if this.is_array {
        match head.native() {
            NativeType::String => {
                let texts = texts(head.value());
                kinds.texts.bind(py).call1((texts,))?
            }
            native => {
                let elements = elements(py, &this.reading)?;
                // It takes the reading with it, as arrays are made by a function.
                let array = kinds.array.bind(py);
                return Ok(array.call1((elements, code(native), slf))?.unbind());
            }
        }
    } else {
        let plain = scalar(py, head.value())?;
        let class = match head.native() {
            NativeType::Float | NativeType::Double => &kinds.float,
            NativeType::String => &kinds.text,
            NativeType::Enum => &kinds.state,
            _ => &kinds.int,
        };
        class.bind(py).call1((plain,))?
    };
    made.setattr(carrier(py), slf)?;
    Ok(made.unbind())
}

/// A value as a builtin type; arrays of numbers as NumPy's, or of the standard library without it.
pub(crate) fn plain(py: Python<'_>, value: ValueRef<'_>, is_array: bool) -> PyResult<Py<PyAny>> {
    match (is_array, value.native) {
        (false, _) => scalar(py, value),
        (true, NativeType::String) => Ok(PyList::new(py, texts(value))?.into_any().unbind()),
        (true, native) => plain_array(py, in_order(py, value)?.into_any(), native),
    }
}

/// As [`plain`], of what has arrived.
pub(crate) fn plain_arrived(
    py: Python<'_>,
    arrived: &Arrived,
    is_array: bool,
) -> PyResult<Py<PyAny>> {
    let native = arrived.head().native();
    match (is_array, native) {
        (false, _) | (true, NativeType::String) => plain(py, arrived.head().value(), is_array),
        (true, native) => plain_array(py, elements(py, arrived)?, native),
    }
}

fn plain_array(
    py: Python<'_>,
    elements: Bound<'_, PyAny>,
    native: NativeType,
) -> PyResult<Py<PyAny>> {
    let make = kinds(py)?.plain_array.bind(py);
    Ok(make.call1((elements, code(native)))?.unbind())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn texts(value: ValueRef<'_>) -> Vec<String> {
    (0..value.count)
        .map_while(|n| value.string(n))
        .map(text)
        .collect()
}

/// The first element; that of an empty array is zero, or no text.
fn first<T: Element + Default>(value: ValueRef<'_>) -> T {
    value
        .elements()
        .and_then(|mut all| all.next())
        .unwrap_or_default()
}

fn scalar(py: Python<'_>, value: ValueRef<'_>) -> PyResult<Py<PyAny>> {
    let int = |number: i64| Ok(PyInt::new(py, number).into_any().unbind());
    let float = |number: f64| Ok(PyFloat::new(py, number).into_any().unbind());
    match value.native {
        NativeType::Double => float(first::<f64>(value)),
        NativeType::Float => float(first::<f32>(value).into()),
        NativeType::Long => int(first::<i32>(value).into()),
        NativeType::Short => int(first::<i16>(value).into()),
        NativeType::Char => int(first::<u8>(value).into()),
        NativeType::Enum => int(first::<EnumIndex>(value).0.into()),
        NativeType::String => {
            let text = value.string(0).map(text).unwrap_or_default();
            Ok(PyString::new(py, &text).into_any().unbind())
        }
    }
}

/// The code of an element in Python's `struct` and NumPy.
const fn code(native: NativeType) -> &'static str {
    match native {
        NativeType::Double => "d",
        NativeType::Float => "f",
        NativeType::Long => "i",
        NativeType::Short => "h",
        NativeType::Enum => "H",
        NativeType::Char | NativeType::String => "B",
    }
}

/// The object that Python's arrays are views of: what lends the elements of a large array, where they were received, or
/// few of them as `bytes`.
fn elements<'py>(py: Python<'py>, arrived: &Arrived) -> PyResult<Bound<'py, PyAny>> {
    let value = arrived.head().value();
    match arrived.turned() {
        Some(elements) => {
            let lent = Lent::new(elements.clone(), code(value.native));
            Ok(Bound::new(py, lent)?.into_any())
        }
        None => Ok(in_order(py, value)?.into_any()),
    }
}

/// A copy of the elements in the byte order of this machine.
fn in_order<'py>(py: Python<'py>, value: ValueRef<'_>) -> PyResult<Bound<'py, PyBytes>> {
    let data = value.data;
    match value.native.size() {
        2 => swapped(py, data, |part: [u8; 2]| {
            u16::from_be_bytes(part).to_ne_bytes()
        }),
        4 => swapped(py, data, |part: [u8; 4]| {
            u32::from_be_bytes(part).to_ne_bytes()
        }),
        8 => swapped(py, data, |part: [u8; 8]| {
            u64::from_be_bytes(part).to_ne_bytes()
        }),
        _ => Ok(PyBytes::new(py, data)),
    }
}

fn swapped<'py, const N: usize>(
    py: Python<'py>,
    data: &[u8],
    swap: impl Fn([u8; N]) -> [u8; N],
) -> PyResult<Bound<'py, PyBytes>> {
    let (from, _) = data.as_chunks::<N>();
    PyBytes::new_with(py, from.len() * N, |buffer| {
        let (to, _) = buffer.as_chunks_mut::<N>();
        for (to, from) in to.iter_mut().zip(from) {
            *to = swap(*from);
        }
        Ok(())
    })
}

/// Why a value cannot be put.
#[derive(Debug)]
pub(crate) enum Unfit {
    Text(ValueError),
    Number(String),
}

impl From<ValueError> for Unfit {
    fn from(error: ValueError) -> Self {
        Self::Text(error)
    }
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(error) => error.fmt(f),
            Self::Number(text) => f.write_str(text),
        }
    }
}

/// What is put: texts take the form that suits the type of the channel, which is known once it is
/// connected.
#[derive(Clone, Debug)]
pub(crate) enum Outgoing {
    Value(Value),
    Text(String),
    Bytes(Bytes),
}

impl Outgoing {
    /// Whether the type of the channel matters.
    pub(crate) fn depends(&self) -> bool {
        match self {
            Self::Value(value) => fits::depends(value),
            Self::Text(_) | Self::Bytes(_) => true,
        }
    }

    /// The value for a channel of this type.
    ///
    /// # Errors
    /// A text that does not fit, or a number that such a channel cannot hold.
    pub(crate) fn for_type(self, native: Option<NativeType>) -> Result<Value, Unfit> {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        match (self, native) {
            (Self::Value(value), native) => {
                match native.and_then(|native| fits::misfit(&value, native)) {
                    Some(text) => Err(Unfit::Number(text)),
                    None => Ok(value),
                }
            }
            (Self::Text(text), Some(NativeType::Char)) => Ok(LongString(text).into_value()?),
            (Self::Text(text), _) => Ok(text.into_value()?),
            (Self::Bytes(bytes), Some(NativeType::String | NativeType::Enum)) => {
                Ok(text(&bytes).into_value()?)
            }
            (Self::Bytes(bytes), _) => Ok(Value::from_wire(NativeType::Char, bytes)),
        }
    }
}

/// An object as the value of a put.
///
/// # Errors
/// `ValueProblem`, which names the PV.
pub(crate) fn to_wire(object: &Bound<'_, PyAny>, pv: &str) -> PyResult<Outgoing> {
    let problem = |reason: String, remedy: &str| {
        let message = format!("cannot write \"{pv}\": {reason}");
        let remedy = Some(remedy.to_owned());
        errors::plain(object.py(), "ValueProblem", pv, message, remedy)
    };
    if object.is_instance_of::<PyBool>() {
        return Ok(Outgoing::Value(Value::scalar(i32::from(
            object.extract::<bool>()?,
        ))));
    }
    if object.is_instance_of::<PyInt>() {
        return match object.extract::<i32>() {
            Ok(number) => Ok(Outgoing::Value(Value::scalar(number))),
            // Channel Access has no larger integers: the server converts.
            Err(_) => match object.extract::<f64>() {
                Ok(number) => Ok(Outgoing::Value(Value::scalar(number))),
                Err(_) => Err(problem(
                    "the number is larger than any of Channel Access".to_owned(),
                    "give a number that a double holds",
                )),
            },
        };
    }
    if object.is_instance_of::<PyFloat>() {
        return Ok(Outgoing::Value(Value::scalar(object.extract::<f64>()?)));
    }
    if object.is_instance_of::<PyString>() {
        let text = object.extract().map_err(|_| {
            problem(
                "the text has characters that no server knows, halves of surrogate pairs"
                    .to_owned(),
                "give another text",
            )
        });
        return Ok(Outgoing::Text(text?));
    }
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(Outgoing::Bytes(Bytes::copy_from_slice(bytes.as_bytes())));
    }
    let remedy = "give a number, a text, or a list or array of them";
    if object.is_none() {
        return Err(problem("None is no value".to_owned(), remedy));
    }
    // Lists, arrays, buffers: `canter._values` makes elements of one type of them.
    let made = kinds(object.py())?
        .to_wire
        .bind(object.py())
        .call1((object,));
    let (code, elements) = match made {
        Ok(made) => made.extract::<(String, Bound<'_, PyAny>)>()?,
        Err(error) if error.is_instance_of::<PyTypeError>(object.py()) => {
            return Err(problem(error.value(object.py()).to_string(), remedy));
        }
        Err(error) => return Err(error),
    };
    if code == "s" {
        let given = elements.extract().map_err(|_| {
            let reason = "a text has characters that no server knows, halves of surrogate pairs";
            problem(reason.to_owned(), "give other texts")
        });
        let texts = Strings(given?).into_value();
        let unfit = |error: ValueError| problem(error.to_string(), "give shorter texts");
        return texts.map(Outgoing::Value).map_err(unfit);
    }
    let data = Bytes::copy_from_slice(elements.cast::<PyBytes>()?.as_bytes());
    let native = match &*code {
        "d" => NativeType::Double,
        "f" => NativeType::Float,
        "i" => NativeType::Long,
        "h" => NativeType::Short,
        _ => NativeType::Char,
    };
    Ok(Outgoing::Value(Value::from_wire(native, data)))
}
