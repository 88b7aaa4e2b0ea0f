//! The core's errors as the classes of `bloomdata.errors`; the system's errors stay `OSError`.

use bloomdata_core::Error;
use pyo3::exceptions::{PyKeyboardInterrupt, PyOSError};
use pyo3::prelude::*;

mod classes {
    //! Defined in Python, so that they can have two bases and be documented there.
    #![allow(missing_docs, reason = "documented in bloomdata/errors.py")]
    pyo3::import_exception!(bloomdata.errors, BloomdataError);
    pyo3::import_exception!(bloomdata.errors, ConfigError);
    pyo3::import_exception!(bloomdata.errors, CorruptDataError);
    pyo3::import_exception!(bloomdata.errors, MismatchError);
    pyo3::import_exception!(bloomdata.errors, UnsupportedFormatError);
}

/// Converts an error.
pub(crate) fn to_python(error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::Config { .. } => classes::ConfigError::new_err(text),
        Error::Corrupt { .. } | Error::TooManyBad { .. } => classes::CorruptDataError::new_err(text),
        Error::BadRecord { path, line, offset, reason } => {
            classes::CorruptDataError::new_err((text, (path.display().to_string(), line, offset, reason)))
        }
        Error::Unsupported { .. } => classes::UnsupportedFormatError::new_err(text),
        Error::Mismatch { .. } => classes::MismatchError::new_err(text),
        Error::Interrupted => PyKeyboardInterrupt::new_err(()),
        Error::Io { path, source } => match source.raw_os_error() {
            // With a number, Python picks the subclass: FileNotFoundError, PermissionError, …
            Some(code) => {
                let reason = source.to_string();
                let reason = reason.split(" (os error").next().unwrap_or(&reason).to_owned();
                PyOSError::new_err((code, reason, path.display().to_string()))
            }
            None => PyOSError::new_err(text),
        },
        _ => classes::BloomdataError::new_err(text),
    }
}

/// An option that Python gave us in a form that we do not know.
pub(crate) fn config_error(error: &serde_json::Error) -> PyErr {
    classes::ConfigError::new_err(error.to_string())
}
