//! Values that are restored when records start.

use super::cx::Cx;
use super::database::Records;
use super::put::PutError;
use crate::record::{Array, Id, Val};

impl Records {
    /// What is to be restored once records are initialized, before anything is processed.
    pub(super) fn restore_after_init(&mut self) {
        for restore in std::mem::take(&mut self.restores) {
            self.restore(&restore);
        }
    }

    /// Stores a value, which nobody is told of.
    pub(crate) fn restore_val(&mut self, id: Id, field: u16, val: &Val) -> Result<(), PutError> {
        let of = self.type_of(id).clone();
        let shape = (of.support.array)(&self.view(id), field);
        if let (Some(shape), Val::Array(all)) = (shape, val) {
            let how = self.view(id).conversion_to(field, val);
            let array: Array = all.converted(shape.dbf, shape.capacity, &how.borrow())?;
            let count = array.len();
            self.record_mut(id).set(&of, field, Val::from(array));
            Cx::with(self, id, |cx, support| (support.stored)(cx, field, count));
        } else {
            self.db_put(id, field, val)?;
        }
        if of.value == Some(field) {
            self.record_mut(id).udf = 0;
        }
        Ok(())
    }
}
