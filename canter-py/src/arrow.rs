//! Columns for Arrow: its C data interface in capsules of Python, which whatever reads Arrow takes without a copy
//! (<https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html>).

use arrow_buffer::{Buffer, NullBuffer};
use arrow_data::ArrayData;
use arrow_data::ffi::FFI_ArrowArray;
use arrow_schema::ffi::FFI_ArrowSchema;
use arrow_schema::{ArrowError, DataType, Field, Fields, TimeUnit};
use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::errors;

/// Columns of one length.
pub(crate) struct Table {
    rows: usize,
    columns: Vec<(Field, Result<ArrayData, ArrowError>)>,
}

impl Table {
    pub(crate) const fn new(rows: usize) -> Self {
        Self {
            rows,
            columns: Vec::new(),
        }
    }

    /// A column of elements of one size; those that are not there are null.
    fn elements<T: Copy + Default, const N: usize>(
        &mut self,
        name: &str,
        ty: DataType,
        cells: impl Iterator<Item = Option<T>>,
        bytes: impl Fn(T) -> [u8; N],
    ) {
        let mut data = Vec::with_capacity(self.rows * N);
        let mut valid = Vec::with_capacity(self.rows);
        for cell in cells {
            data.extend_from_slice(&bytes(cell.unwrap_or_default()));
            valid.push(cell.is_some());
        }
        self.add(name, ty, valid, vec![Buffer::from_vec(data)]);
    }

    fn add(&mut self, name: &str, ty: DataType, valid: Vec<bool>, buffers: Vec<Buffer>) {
        let array = ArrayData::builder(ty.clone())
            .len(valid.len())
            .nulls(Some(NullBuffer::from(valid)))
            .buffers(buffers);
        let array = array.align_buffers(true).build();
        self.columns.push((Field::new(name, ty, true), array));
    }

    pub(crate) fn doubles(&mut self, name: &str, cells: impl Iterator<Item = Option<f64>>) {
        self.elements(name, DataType::Float64, cells, f64::to_ne_bytes);
    }

    /// Nanoseconds since 1970, UTC.
    pub(crate) fn times(&mut self, name: &str, cells: impl Iterator<Item = Option<i64>>) {
        let ty = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
        self.elements(name, ty, cells, i64::to_ne_bytes);
    }

    pub(crate) fn words(&mut self, name: &str, cells: impl Iterator<Item = Option<u16>>) {
        self.elements(name, DataType::UInt16, cells, u16::to_ne_bytes);
    }

    pub(crate) fn texts<'a>(&mut self, name: &str, cells: impl Iterator<Item = Option<&'a str>>) {
        let mut data = Vec::new();
        let mut ends = Vec::with_capacity(self.rows + 1);
        ends.push(0_i64);
        let mut valid = Vec::with_capacity(self.rows);
        for cell in cells {
            data.extend_from_slice(cell.unwrap_or_default().as_bytes());
            // No vector has more bytes.
            ends.push(i64::try_from(data.len()).unwrap_or(i64::MAX));
            valid.push(cell.is_some());
        }
        let buffers = vec![Buffer::from_vec(ends), Buffer::from_vec(data)];
        self.add(name, DataType::LargeUtf8, valid, buffers);
    }

    fn into_columns(self) -> PyResult<(Vec<Field>, Vec<ArrayData>)> {
        let mut fields = Vec::with_capacity(self.columns.len());
        let mut columns = Vec::with_capacity(self.columns.len());
        for (field, array) in self.columns {
            fields.push(field);
            columns.push(array.map_err(refused)?);
        }
        Ok((fields, columns))
    }

    /// Capsules of the schema and of the columns, as an array of structures.
    ///
    /// # Errors
    /// Columns that Arrow refuses, such as of different lengths.
    pub(crate) fn capsules(
        self,
        py: Python<'_>,
    ) -> PyResult<(Bound<'_, PyCapsule>, Bound<'_, PyCapsule>)> {
        let rows = self.rows;
        let (fields, columns) = self.into_columns()?;
        let ty = DataType::Struct(Fields::from(fields));
        let schema = FFI_ArrowSchema::try_from(&ty).map_err(refused)?;
        let table = ArrayData::builder(ty).len(rows).child_data(columns);
        let array = FFI_ArrowArray::new(&table.build().map_err(refused)?);
        Ok((
            PyCapsule::new_with_value(py, schema, c"arrow_schema")?,
            PyCapsule::new_with_value(py, array, c"arrow_array")?,
        ))
    }
}

fn refused(error: ArrowError) -> PyErr {
    match error {
        ArrowError::OffsetOverflowError(_) => PyOverflowError::new_err(error.to_string()),
        error => errors::bad(error.to_string()),
    }
}
