//! Channel Access tools: get, put, monitor, info, a simulated IOC, a wire decoder
