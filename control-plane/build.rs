//! Makes sure that the folder of the console exists, so that the program builds without it and says so when it
//! runs; builds again when the console changes.

fn main() {
    let dist = "../web/dist";
    println!("cargo::rerun-if-changed={dist}");
    if let Err(error) = std::fs::create_dir_all(dist) {
        println!("cargo::error=cannot create {dist}: {error}");
    }
}
