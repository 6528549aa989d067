//! `dgon-control-plane`: see [`dgon_control_plane::cmd`].

fn main() -> std::process::ExitCode {
    dgon_control_plane::cmd::main()
}
