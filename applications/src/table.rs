//! Matrices in files: CSV with the names of rows and columns.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use nalgebra::DMatrix;

use crate::Error;

/// A matrix with the names of its rows and columns.
#[derive(Clone, PartialEq, Debug)]
pub struct Table {
    /// Names of the rows.
    pub rows: Vec<String>,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The numbers.
    pub values: DMatrix<f64>,
}

impl Table {
    /// Writes it as CSV.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let mut text = format!(",{}\n", self.columns.join(","));
        for (name, row) in self.rows.iter().zip(self.values.row_iter()) {
            let _ = write!(text, "{name}");
            for value in row.iter() {
                let _ = write!(text, ",{value}");
            }
            text.push('\n');
        }
        fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()).into())
    }

    /// Reads what [`save`](Self::save) has written.
    ///
    /// # Errors
    /// A file that cannot be read, or the line that is wrong.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let shown = path.display();
        let text = fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
        let mut lines = text.lines();
        let head = lines.next().unwrap_or_default().split(',').skip(1);
        let columns: Vec<String> = head.map(ToOwned::to_owned).collect();
        let (mut rows, mut values) = (Vec::new(), Vec::new());
        for (n, line) in lines.enumerate() {
            let mut cells = line.split(',');
            rows.push(cells.next().unwrap_or_default().to_owned());
            let numbers: Result<Vec<f64>, _> = cells.map(str::parse).collect();
            let numbers = numbers.map_err(|error| format!("{shown}, line {}: {error}", n + 2))?;
            if numbers.len() != columns.len() {
                let (found, wanted) = (numbers.len(), columns.len());
                return Err(format!(
                    "{shown}, line {}: {found} numbers, and the first line names {wanted} columns",
                    n + 2
                )
                .into());
            }
            values.extend(numbers);
        }
        let values = DMatrix::from_row_slice(rows.len(), columns.len(), &values);
        Ok(Self {
            rows,
            columns,
            values,
        })
    }
}
