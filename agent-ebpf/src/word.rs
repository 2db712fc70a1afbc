//! Members of kernel structures whose types the verifier knows: one instruction each.

/// What one instruction loads.
pub trait Word: Copy {
    /// Loads it.
    ///
    /// # Safety
    ///
    /// The verifier has to know `pointer` for one to a kernel structure with such a member at the offset.
    unsafe fn load(pointer: u64, offset: u64) -> Self;
}

/// Implements [`Word`] for an integer of so many bits.
macro_rules! word {
    ($kind:ty, $width:literal) => {
        impl Word for $kind {
            #[inline(always)]
            // SAFETY: as the trait says; the instructions only read.
            unsafe fn load(pointer: u64, offset: u64) -> Self {
                #[cfg(target_arch = "bpf")]
                {
                    let value: u64;
                    // SAFETY: the verifier turns the load into one that gives zero where nothing is mapped. The offset is
                    // added here, because the compiler may keep a pointer that is not one of its own in any order.
                    unsafe {
                        core::arch::asm!(
                            "{pointer} += {offset}",
                            concat!("{value} = *(", $width, " *)({pointer} + 0)"),
                            value = out(reg) value,
                            pointer = inout(reg) pointer => _,
                            offset = in(reg) offset,
                            options(pure, readonly, nostack),
                        );
                    }
                    value as $kind
                }
                #[cfg(not(target_arch = "bpf"))]
                // SAFETY: the caller's.
                unsafe {
                    ((pointer + offset) as *const $kind).read()
                }
            }
        }
    };
}

word!(u64, "u64");
word!(u32, "u32");
word!(u16, "u16");

/// A kernel structure whose type the verifier knows.
#[derive(Clone, Copy)]
pub struct Typed(pub u64);

impl Typed {
    /// Loads a member.
    #[inline(always)]
    pub fn load<T: Word>(self, offset: u32) -> T {
        // SAFETY: the verifier refuses the program where the type has no such member.
        unsafe { T::load(self.0, offset as u64) }
    }
}
