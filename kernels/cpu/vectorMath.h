// exp, tanh and erfc of vectors, to one or two units in the last place. NaN gives NaN.
#pragma once

#include "vector.h"

namespace spinfer::cpu::SPINFER_CPU_SET {

inline Vec larger(Vec left, Vec right) { return left > right ? left : right; }
inline Vec smaller(Vec left, Vec right) { return left < right ? left : right; }
inline Vec magnitude(Vec x) { return (Vec)((IntVec)x & 0x7fffffff); }
inline Vec withSignOf(Vec sign, Vec x) { return (Vec)((IntVec)x | ((IntVec)sign & INT32_MIN)); }

// An exponent of 2 apart: its nearest whole number, and the rest in [-1/2, 1/2]. In `shifted` the
// whole number was added to 3 * 2^22, whose float32 have no fraction: it is in the lowest bits.
struct Exponent {
  Vec shifted, rest;
};

constexpr float kShift = 12582912.0f;

inline Exponent exponentOf2(Vec x) {
  const Vec shifted = x + kShift;
  return {shifted, x - (shifted - kShift)};
}

// left right - less, rounded once.
inline Vec productLess(Vec left, Vec right, Vec less) {
#ifdef __AVX512F__
  return _mm512_fmsub_ps(left, right, less);
#else
  return _mm256_fmsub_ps(left, right, less);
#endif
}

// x log2(e), of whose float32 the second has the places that the first lacks.
inline Exponent exponentOfE(Vec x) {
  const Vec log2e = Vec{} + 1.44269502f;
  const Vec shifted = x * log2e + kShift;
  return {shifted, x * 1.92596299e-8f + productLess(x, log2e, shifted - kShift)};
}

// 2^x - 1 for x in [-1/2, 1/2]: the polynomial whose relative error is least (1.3e-8, by Lawson's
// iteration).
inline Vec powerLessOne(Vec x) {
  Vec sum = x * 1.53821136e-4f + 1.33873825e-3f;
  sum = sum * x + 9.61831119e-3f;
  sum = sum * x + 5.55036739e-2f;
  sum = sum * x + 2.40226492e-1f;
  sum = sum * x + 6.93147182e-1f;
  return sum * x;
}

// 2^x for a split x up to 129. Results below 2^-125 are 0: processors are slow with those that are
// not normal.
inline Vec power(Exponent x) {
  const Vec fraction = powerLessOne(x.rest) + 1.0f;
  const Vec whole = x.shifted - kShift;
#ifdef __AVX512F__
  const __mmask16 seen = _mm512_cmp_ps_mask(whole, Vec{} - 125.0f, _CMP_NLT_UQ);
  return _mm512_maskz_scalef_ps(seen, fraction, whole);
#else
  // 2^128 is no float32: half of the power, twice.
  const Vec half = (Vec)(((IntVec)x.shifted + 126) << 23);
  return whole < -125.0f ? Vec{} : (fraction + fraction) * half;
#endif
}

// For x up to 0.
inline Vec exp2OfNegative(Vec x) { return power(exponentOf2(x)); }

inline Vec exp(Vec x) { return power(exponentOfE(smaller(Vec{} + 89.0f, x))); }

// From exp(2 |x|) - 1, which is exact to the last places where x is near 0.
inline Vec tanh(Vec x) {
  const Vec most = Vec{} + 9.5f;  // the nearest float32 is 1 from 9.02
  const Vec size = magnitude(x);
  const Exponent exponent = exponentOfE(2.0f * (size > most ? most : size));
  const Vec whole = (Vec)(((IntVec)exponent.shifted + 127) << 23);
  const Vec lessOne = powerLessOne(exponent.rest) * whole + (whole - 1.0f);
  return withSignOf(x, lessOne / (lessOne + 2.0f));
}

// 1 - erf(x) for x >= 0: exp(-x^2) times a polynomial of (x - k) / (x + k), which maps the
// half-line onto [-1, 1] (Shepherd and Laframboise, 1981); fitted as above on [0, 9.5], to 3.6e-8.
inline Vec erfcOfPositive(Vec any) {
  const Vec x = smaller(Vec{} + 10.0f, any);  // 0 from there on
  const Vec u = (x - 2.5f) / (x + 2.5f);
  Vec sum = u * -5.33383027e-05f + 0.000220701069f;
  sum = sum * u + 0.000820045185f;
  sum = sum * u - 0.00264722435f;
  sum = sum * u - 0.00397844939f;
  sum = sum * u + 0.0399241634f;
  sum = sum * u - 0.125034541f;
  sum = sum * u + 0.251713037f;
  sum = sum * u - 0.371736705f;
  sum = sum * u + 0.21080637f;
  return exp(-x * x) * sum;
}

}  // namespace spinfer::cpu::SPINFER_CPU_SET
