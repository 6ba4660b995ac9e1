//! The applications, as they are, against the virtual ring and against the real IOC.

#[path = "applications/rig.rs"]
mod rig;

macro_rules! applications {
    ($($name:ident = $path:literal;)*) => {$(
        #[path = $path]
        #[expect(dead_code, reason = "its main is not called")]
        mod $name;
    )*};
}

applications! {
    beam_based_alignment = "../examples/beam_based_alignment.rs";
    energy_feedback = "../examples/energy_feedback.rs";
    orbit_feedback = "../examples/orbit_feedback.rs";
    response_matrix = "../examples/response_matrix.rs";
    tune_scan = "../examples/tune_scan.rs";
}

#[path = "applications/real.rs"]
mod real;
#[path = "applications/ring.rs"]
mod ring;
