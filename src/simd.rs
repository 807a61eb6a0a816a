//! Which instructions hot loops are compiled for.

/// Runs an expression, whose functions are inlined, with AVX-512, AVX2, or what every processor of its kind has. What lies
/// between these gains the loops nothing, and [`fearless_simd::dispatch`] would compile them for it once more.
macro_rules! widest {
    ($run:expr) => {{
        #[cfg(target_arch = "x86_64")]
        {
            use fearless_simd::Simd as _;
            let level = fearless_simd::Level::new();
            if let Some(simd) = level.as_avx512() {
                simd.vectorize(
                    #[inline(always)]
                    || $run,
                )
            } else if let Some(simd) = level.as_avx2() {
                simd.vectorize(
                    #[inline(always)]
                    || $run,
                )
            } else {
                $run
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        fearless_simd::dispatch!(fearless_simd::Level::new(), _simd => $run)
    }};
}

pub(crate) use widest;
