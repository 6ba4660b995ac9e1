//! The examples of the README and of the book, run as documentation tests.

macro_rules! pages {
    ($($name:ident = $path:literal;)*) => {$(
        #[cfg(doctest)]
        #[doc = include_str!(concat!("../../", $path))]
        pub struct $name;
    )*};
}

pages! {
    Readme = "README.md";
    FirstClient = "docs/src/first-client.md";
    FirstIoc = "docs/src/first-ioc.md";
    Testing = "docs/src/testing.md";
    VirtualRing = "docs/src/virtual-ring.md";
    Faults = "docs/src/faults.md";
    TestingApplications = "docs/src/testing-applications.md";
    State = "docs/src/state.md";
    Tools = "docs/src/tools.md";
    Install = "docs/src/install.md";
    Introduction = "docs/src/introduction.md";
    Configuration = "docs/src/configuration.md";
    Monitors = "docs/src/monitors.md";
    Kit = "docs/src/kit.md";
    Reconnection = "docs/src/reconnection.md";
    Diagnosis = "docs/src/diagnosis.md";
    Errors = "docs/src/errors.md";
    Interop = "docs/src/interop.md";
}
