//! Loopback and interoperation tests of Canter
