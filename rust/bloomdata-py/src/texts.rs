//! Texts that Python hands over without a copy: a list of `str`, or Arrow arrays of strings by the `PyCapsule` interface
//! (`__arrow_c_array__`).

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi};
use arrow_array::{Array, ArrayRef, LargeStringArray, StringArray, StringViewArray, make_array};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyCapsule, PyList};

/// Texts, and whatever keeps them where they are.
pub(crate) enum Texts {
    List(Vec<PyBackedStr>),
    Arrow(Vec<ArrayRef>),
}

impl<'py> FromPyObject<'_, 'py> for Texts {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(list) = object.cast::<PyList>() {
            let text = |(at, text): (usize, Bound<'py, PyAny>)| {
                text.extract::<PyBackedStr>().map_err(|error| {
                    if error.is_instance_of::<PyTypeError>(object.py()) {
                        return PyTypeError::new_err(format!("text {at}: {error}"));
                    }
                    // Half of a surrogate pair: the error says which, and now also where.
                    let _ = error.add_note(object.py(), format!("text {at}"));
                    error
                })
            };
            return Ok(Self::List(list.iter().enumerate().map(text).collect::<PyResult<_>>()?));
        }
        // A chunked array says so; anything else is one array.
        let chunks = match object.getattr("chunks") {
            Ok(chunks) => chunks.try_iter()?.collect::<PyResult<Vec<_>>>()?,
            Err(_) => vec![object.to_owned()],
        };
        Ok(Self::Arrow(chunks.iter().map(take_array).collect::<PyResult<_>>()?))
    }
}

impl Texts {
    /// All texts, in order.
    pub(crate) fn all(&self) -> PyResult<Vec<&str>> {
        let arrays = match self {
            Self::List(texts) => return Ok(texts.iter().map(|text| &**text).collect()),
            Self::Arrow(arrays) => arrays,
        };
        let mut texts: Vec<Option<&str>> = Vec::new();
        for array in arrays {
            let array = array.as_any();
            if let Some(array) = array.downcast_ref::<StringArray>() {
                texts.extend(array);
            } else if let Some(array) = array.downcast_ref::<LargeStringArray>() {
                texts.extend(array);
            } else if let Some(array) = array.downcast_ref::<StringViewArray>() {
                texts.extend(array);
            }
        }
        match texts.iter().position(Option::is_none) {
            Some(at) => Err(PyValueError::new_err(format!("text {at} is null"))),
            None => Ok(texts.into_iter().flatten().collect()),
        }
    }
}

fn take_array(object: &Bound<'_, PyAny>) -> PyResult<ArrayRef> {
    let capsules = object.call_method0("__arrow_c_array__")?;
    let (schema, array): (Bound<'_, PyCapsule>, Bound<'_, PyCapsule>) = capsules.extract()?;
    let schema = schema.pointer_checked(Some(c"arrow_schema"))?.cast::<FFI_ArrowSchema>();
    let array = array.pointer_checked(Some(c"arrow_array"))?.cast::<FFI_ArrowArray>();
    #[allow(unsafe_code, reason = "the Arrow C data interface is two pointers")]
    // SAFETY: the capsules' names say what they point to; `from_raw` moves the array out and leaves an empty one
    // behind, which the capsule's destructor recognises; the schema is only read while its capsule lives.
    let data = unsafe { from_ffi(FFI_ArrowArray::from_raw(array.as_ptr()), schema.as_ref()) };
    let array = make_array(data.map_err(|error| PyValueError::new_err(error.to_string()))?);
    // Offsets and UTF-8 come from elsewhere: an array that lies must not be believed.
    array.to_data().validate_full().map_err(|error| PyValueError::new_err(error.to_string()))?;
    let is_text = array.as_any().is::<StringArray>()
        || array.as_any().is::<LargeStringArray>()
        || array.as_any().is::<StringViewArray>();
    if is_text {
        Ok(array)
    } else {
        Err(PyTypeError::new_err(format!("an array of {}, not of strings", array.data_type())))
    }
}
