//! Compiles the `.proto` files without protoc: protox parses, tonic generates.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[expect(clippy::disallowed_methods, reason = "cargo speaks to build scripts through the environment")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut files = Vec::new();
    proto_files(Path::new("haiqu"), &mut files)?;
    proto_files(Path::new("google"), &mut files)?;
    files.sort();
    println!("cargo:rerun-if-changed=haiqu");
    println!("cargo:rerun-if-changed=google");
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(&files)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    std::fs::write(out.join("requests.rs"), requests(&compiler)?)?;
    tonic_prost_build::configure()
        .bytes(".haiqu.events.v1.LoggedEvent.payload")
        .bytes(".haiqu.grievances.v1.UploadPhotoRequest.content")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// `RequestId` for every message that carries one.
fn requests(compiler: &protox::Compiler) -> Result<String, std::fmt::Error> {
    let mut code = String::new();
    for message in compiler.descriptor_pool().all_messages() {
        let package = message.package_name().trim_start_matches("haiqu.").replace('.', "::");
        if message.package_name().starts_with("haiqu.") && message.get_field_by_name("request_id").is_some() {
            writeln!(
                code,
                "impl RequestId for {package}::{} {{ fn request_id(&self) -> &str {{ &self.request_id }} }}",
                message.name()
            )?;
        }
    }
    Ok(code)
}

fn proto_files(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            proto_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
