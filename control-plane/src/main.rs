//! `dgon-control-plane`: see [`dgon_control_plane::cmd`].

/// Receipts are many small pieces of memory that other threads give back than took them, which the system's own allocator
/// is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    dgon_control_plane::cmd::main()
}
