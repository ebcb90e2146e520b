// kernels.h is what Go sees of the C: coarse calls that work on a range of
// rows, columns or elements, so that Go decides who computes what. The first
// argument picks the instruction set. All matrices are row-major.
#pragma once
#include <stdint.h>

enum { ISA_128, ISA_AVX2, ISA_AVX512, ISA_PAIRS, ISA_AMX, ISA_NONE };

enum { TYPE_F16, TYPE_Q8_0, TYPE_Q4_0, TYPE_Q4_1, TYPE_Q4_K, TYPE_Q6_K, TYPE_NF4, // of weights only
       TYPE_F32, TYPE_BF16 };

// Operand is one side of a product, as lanes along the result and steps along
// the sum: element (l, s) lies at p[l*lane + s*step]. One of the two is 1.
typedef struct {
  const void *p;
  long lane, step;
  int bf16; // the elements are bfloat16, else float
} Operand;

// Product is c = alpha·a·b (+ c). Element (i, j) of c lies at c[i*row + j*col].
// b is packed into panels first, or else panel by panel while multiplying.
typedef struct {
  Operand a, b;
  float *c;
  long row, col;
  long m, n, k;
  long block; // steps that are summed in registers before they go to c
  long from, to; // the steps to sum over: 0 and k but for attention
  float alpha;
  int add;
  float *panels; // none: gemm packs
  int parts; // bfloat16 that AMX makes of a float of a: 1, which rounds, or 3
} Product;

// Seqs is gpu.Seqs for one sequence: the rows first to first+len.
typedef struct {
  long first, len, heads, kv, dim, window;
  float scale;
} Seq;

// Merged is gpu.Merged without the count of weights.
typedef struct {
  double dot, delta, lost;
  long changed, broken;
} Merged;
enum { MERGE_ROWS = 4, MERGE_COLS = 256 }; // the most rows that merge takes; the columns of which sums are in the cache

int isa_best(void);  // the widest that this CPU has; all above AVX-512 is for products of bfloat16 only
int isa_pairs(void); // whether it multiplies pairs of bfloat16

long gemm_lanes(int isa);                // lanes of a full panel
long gemm_block(int isa, long k);        // Product.block for a sum over k: the same for all m and n
long gemm_panels(int isa, long n);       // panels in a block
long gemm_size(int isa, long n, long k); // floats in all of b's panels
long gemm_scratch(void);                 // floats that gemm needs to pack a panel of b and up to GEMM_ROWS rows of a
int gemm_reads(int isa, const Product *g); // whether gemm need not pack a if it packs b
enum { GEMM_ROWS = 576 };                // of which a block is 0.9 MB of the second-level cache
void gemm_pack(int isa, const Product *g, long from, long to); // panels, counted through all blocks
void gemm(int isa, const Product *g, long m0, long m1, long n0, long n1, float *scratch);
void gemm_few(int isa, const Product *g, int type, long row, long from, long to, float *scratch); // whole panels of quantised b
long strip_lanes(int isa);
void repack(int isa, void *to, const void *x, int type, long row, long n, long k, long from, long last); // strips from to last of n lanes
void gemm_strips(int isa, const Product *g, int type, long from, long to); // g.b.p are strips
void gemm_rows(const Product *g, long from, long to); // for AMX: packs a's rows 16·from to 16·to to g.panels, before the strips

void embed(int isa, float *out, const void *table, int bf16, const int32_t *ids, long from, long to, long dim);
void embed_back(int isa, float *dtable, const float *dout, const int32_t *ids, long n, long dim, long c0, long c1);
void convert(int isa, void *y, int ybf16, const void *x, int xbf16, long n);
void dequantise(int isa, int type, float *y, const void *x, long blocks);
void axpy(int isa, void *y, int ybf16, const void *x, int xbf16, float alpha, long n);
void swiglu(int isa, float *out, const float *gate, const float *up, long n);
void swiglu_back(int isa, float *dgate, float *dup, const float *dout, const float *gate, const float *up, long n);
void dropout(int isa, float *out, const float *x, long from, long to, float p, uint64_t key);
double sum_squares(int isa, const float *x, long n);
void adamw(int isa, float *w, const float *g, float *m, float *v, long n,
           float grad, float decay, float beta1, float beta2, float step, float root, float eps);

void rmsnorm(int isa, float *out, float *inv, float *x, const float *add, const float *w, long rows, long dim, float eps);
void rmsnorm_back(int isa, float *dx, const float *dout, const float *x, const float *w, const float *inv, long rows, long dim);
void rmsnorm_back_w(int isa, float *dw, const float *dout, const float *x, const float *inv, long rows, long dim, long c0, long c1);
void rotate(int isa, float *out, const float *x, const float *cos, const float *sin, const int32_t *pos, long rows, long heads, long dim, float sign);
void head_norm(int isa, float *out, float *inv, const float *x, const float *bias, const float *w, long rows, long heads, long dim, float eps);
void head_norm_back(int isa, float *d, const float *x, const float *bias, const float *w, const float *inv, long rows, long heads, long dim);
void head_norm_back_w(int isa, float *dw, const float *d, const float *x, const float *bias, const float *inv, long rows, long heads, long dim, long c0, long c1);
void sum_rows(int isa, float *y, const float *x, long rows, long dim, long c0, long c1);
void cross_entropy(int isa, float *loss, float *logits, const int32_t *targets, long rows, long vocab, float scale);
void merge(int isa, void *out, int type, const float *w, const float *b, const float *a, long rows, long dim, long rank,
           float scale, int twice, Merged *sum);
void argmax(int isa, int32_t *ids, float *logp, const float *logits, long rows, long vocab);

long attention_size(int isa, long len, long dim); // floats of work space, enough for the backward pass too
void attention(int isa, float *out, float *lse, const float *q, const float *k, const float *v, const Seq *s, long head, float *work);
void attention_back(int isa, float *dq, float *dk, float *dv, const float *dout, const float *out, const float *lse,
                    const float *q, const float *k, const float *v, const Seq *s, long head, float *work);
void sum_groups(int isa, float *out, const float *shares, long heads, long group, long dim);
void attention_cached(int isa, float *out, const float *q, const float *keys, const float *values,
                      long from, long to, long heads, long kv, long dim, long group, float scale, float *work);
