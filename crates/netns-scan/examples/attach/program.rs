//! The program for the kernel, assembled by hand into the ELF object that aya loads. A real program comes from a
//! compiler (aya-ebpf, clang).

use aya::Ebpf;
use aya::programs::SchedClassifier;
use object::write::{Object, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};

use super::Fault;

const NAME: &str = "pass";

/// `return TCX_NEXT`: the next program, or the stack, takes the packet. Instructions as in the kernel's
/// Documentation/bpf/standardization/instruction-set.rst: opcode, registers, offset (2 bytes), immediate (4 bytes).
const INSTRUCTIONS: [[u8; 8]; 2] = [
    // r0 = -1: BPF_ALU64 | BPF_MOV | BPF_K, and TCX_NEXT of linux/bpf.h
    [0xb7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
    // BPF_JMP | BPF_EXIT
    [0x95, 0, 0, 0, 0, 0, 0, 0],
];

/// The object file: the program in a section whose name is its type, and the licence.
fn object() -> Result<Vec<u8>, Fault> {
    let endianness = if cfg!(target_endian = "big") { Endianness::Big } else { Endianness::Little };
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, endianness);
    let section = object.add_section(Vec::new(), b"classifier".to_vec(), SectionKind::Text);
    let code = INSTRUCTIONS.concat();
    let value = object.append_section_data(section, &code, 8);
    object.add_symbol(Symbol {
        name: NAME.into(),
        value,
        size: code.len() as u64,
        kind: SymbolKind::Text,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    });
    let license = object.add_section(Vec::new(), b"license".to_vec(), SectionKind::Data);
    object.append_section_data(license, b"Apache-2.0\0", 1);
    Ok(object.write()?)
}

/// Loads the program; the kernel verifies it.
pub(super) fn load() -> Result<Ebpf, Fault> {
    Ok(Ebpf::load(&object()?)?)
}

/// The loaded program.
pub(super) fn classifier(loaded: &mut Ebpf) -> Result<&mut SchedClassifier, Fault> {
    let classifier: &mut SchedClassifier =
        loaded.program_mut(NAME).ok_or("the object has no such program")?.try_into()?;
    classifier.load()?;
    Ok(classifier)
}
