// Causal attention.
//
// A score may be off by 1e-6 of the sum of its terms' sizes, as a product (cpuProducts.cpp), and a
// cap by a few roundings more. Shares of keys are then off by twice as much, relatively, and
// results by that much of the mean size of the values; exp, sums and products of these add some
// roundings.
#include "cpuEngines.h"

namespace spinfer::test {
namespace {

using Spec = spinfer_cpu_attention_spec;

struct Case {
  Spec spec;
  std::vector<float> query, key, value;
};

// What the query of a head at a position sees.
struct Scores {
  std::vector<double> shares;
  double error = 0;  // the largest of a score
};

Scores scores_of(const Case& given, const float* query, const float* keys, int64_t count) {
  const Spec& spec = given.spec;
  Scores scores;
  double most = -INFINITY, total = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float* const key = keys + i * spec.key_heads * spec.head_size;
    double sum = 0, size = 0;
    for (int64_t c = 0; c < spec.head_size; ++c) {
      sum += static_cast<double>(query[c]) * key[c] * spec.scale;
      size += std::abs(static_cast<double>(query[c]) * key[c] * spec.scale);
    }
    const double score = spec.softcap == 0 ? sum : spec.softcap * std::tanh(sum / spec.softcap);
    scores.error = std::max(scores.error, 1e-6 * size + rounded(8) * std::abs(spec.softcap));
    scores.shares.push_back(score);
    // also when it is NaN
    if (!(score <= most)) most = score;
  }
  for (double& share : scores.shares) total += share = std::exp(share - most);
  for (double& share : scores.shares) share /= total;
  return scores;
}

Expected attention_of(const Case& given) {
  const Spec& spec = given.spec;
  Expected expected;
  for (int64_t at = 0; at < spec.tokens * spec.heads; ++at) {
    const int64_t token = at / spec.heads, head = at % spec.heads;
    const int64_t key_head = head / (spec.heads / spec.key_heads);
    const int64_t before = token % spec.length + 1;
    const int64_t count = spec.window == 0 ? before : std::min(before, spec.window);
    const int64_t first = ((token + 1 - count) * spec.key_heads + key_head) * spec.head_size;
    const Scores scores =
        scores_of(given, &given.query[at * spec.head_size], &given.key[first], count);
    for (int64_t c = 0; c < spec.head_size; ++c) {
      double sum = 0, size = 0;
      for (int64_t i = 0; i < count; ++i) {
        const double value = given.value[first + i * spec.key_heads * spec.head_size + c];
        sum += scores.shares[i] * value;
        size += scores.shares[i] * std::abs(value);
      }
      expected.add(sum, size * (2 * scores.error + rounded(40)) + kNothing);
    }
  }
  return expected;
}

Case make_case(Random& random, const Spec& spec) {
  const int64_t keys = spec.tokens * spec.key_heads * spec.head_size;
  return {spec, make_floats(random, spec.tokens * spec.heads * spec.head_size, Kind::kPlain),
          make_floats(random, keys, Kind::kPlain), make_floats(random, keys, Kind::kTiny)};
}

void attention_is_right(const char* kind, const Case& given) {
  const Spec& spec = given.spec;
  const Guarded<float> query(given.query), key(given.key), value(given.value);
  everywhere(text("attention, %s: %ld of %ld, heads %ld, %ld of %ld, window %ld", kind, spec.length,
                  spec.tokens, spec.heads, spec.key_heads, spec.head_size, spec.window),
             attention_of(given), std::vector<float>(given.query.size(), -1),
             [&](spinfer_cpu* cpu, float* out) {
               return spinfer_cpu_attention(cpu, query.data(), key.data(), value.data(), &spec,
                                            out);
             });
}

// tokens, length, heads, key heads, head size, window, scale, cap: around the queries of a group
// (24 and 48) and the keys of a run (64)
constexpr Spec kSpecs[] = {{1, 1, 1, 1, 1, 0, 1, 0},         {7, 7, 3, 1, 5, 0, 1.5f, 0},
                           {130, 65, 4, 2, 16, 0, 3, 0},     {49, 49, 1, 1, 128, 1, 1, 0},
                           {200, 100, 6, 2, 9, 17, 2, 0.7f}, {97, 97, 6, 6, 33, 64, -1, 0},
                           {300, 150, 8, 1, 8, 149, 4, 20},  {23, 23, 1, 1, 3, 1000, 1, 0},
                           {260, 260, 2, 2, 12, 65, 9, 0},   {64, 1, 5, 5, 7, 0, 1, 0}};

// A window of tokens sees nothing of another one, and a head nothing of another key head's.
void what_is_not_finite_stays_where_it_belongs() {
  Random random(14);
  const Spec spec = {150, 50, 4, 2, 10, 0, 1, 0};
  const int64_t queries = spec.heads * spec.head_size, keys = spec.key_heads * spec.head_size;
  Case in_query = make_case(random, spec);
  in_query.query[60 * queries + 3] = NAN;
  in_query.query[70 * queries + 11] = INFINITY;
  attention_is_right("a query that is not finite", in_query);
  Case in_key = make_case(random, spec);
  in_key.key[75 * keys + 4] = NAN;
  attention_is_right("a key that is not a number", in_key);
  // the first of its window: all others see it
  Case in_value = make_case(random, spec);
  in_value.value[50 * keys + 12] = INFINITY;
  in_value.value[100 * keys + 1] = NAN;
  attention_is_right("a value that is not finite", in_value);
}

}  // namespace

void test_attention() {
  Random random(13);
  for (const Spec& spec : kSpecs)
    if (!is_brief || spec.window != 0) attention_is_right("plain", make_case(random, spec));
  what_is_not_finite_stays_where_it_belongs();
}

}  // namespace spinfer::test
