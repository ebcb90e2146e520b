// blocks.h decodes quantised weights: gpu.Type.Decode is the definition.

INL float ISA(half)(const uint8_t *p) {
  uint16_t h;
  __builtin_memcpy(&h, p, 2);
  union { uint32_t u; float f; } x = {(uint32_t)(h & 0x7fff) << 13}, big = {(uint32_t)(h & 0x7fff) << 13 | 0x7f800000};
  x.f *= 0x1p112f; // moves the exponent's bias; subnormals become normal
  if ((h & 0x7c00) == 0x7c00) x = big;
  x.u |= (uint32_t)(h & 0x8000) << 16;
  return x.f;
}

static const float ISA(normal_float4)[16] = {
  -1, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f,
  -0.28444138169288635f, -0.18477343022823334f, -0.09105003625154495f, 0,
  0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171229224f,
  0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1,
}; // gpu.NormalFloat4

static void ISA(dequantise)(int type, float *y, const void *from, long blocks) {
  const uint8_t *x = from;
  switch (type) {
  case TYPE_F16:
    IVDEP for (long i = 0; i < blocks; i++) y[i] = ISA(half)(x + 2 * i);
    return;
  case TYPE_Q8_0:
    for (; blocks--; x += 34, y += 32) {
      float d = ISA(half)(x);
      IVDEP for (int i = 0; i < 32; i++) y[i] = d * (int8_t)x[2 + i];
    }
    return;
  case TYPE_Q4_0:
    for (; blocks--; x += 18, y += 32) {
      float d = ISA(half)(x);
      IVDEP for (int i = 0; i < 16; i++) y[i] = d * ((x[2 + i] & 15) - 8);
      IVDEP for (int i = 0; i < 16; i++) y[i + 16] = d * ((x[2 + i] >> 4) - 8);
    }
    return;
  case TYPE_Q4_1:
    for (; blocks--; x += 20, y += 32) {
      float d = ISA(half)(x), m = ISA(half)(x + 2);
      IVDEP for (int i = 0; i < 16; i++) y[i] = d * (x[4 + i] & 15) + m;
      IVDEP for (int i = 0; i < 16; i++) y[i + 16] = d * (x[4 + i] >> 4) + m;
    }
    return;
  case TYPE_Q4_K:
    for (; blocks--; x += 144) {
      float d = ISA(half)(x), least = ISA(half)(x + 2);
      const uint8_t *p = x + 4, *q = x + 16;
      for (int g = 0; g < 8; g++, y += 32) {
        int s = g < 4 ? p[g] & 63 : (p[g + 4] & 15) | p[g - 4] >> 6 << 4;
        int m = g < 4 ? p[g + 4] & 63 : p[g + 4] >> 4 | p[g] >> 6 << 4;
        float scale = d * s, floor = least * m;
        const uint8_t *low = q + g / 2 * 32;
        int shift = g % 2 * 4;
        IVDEP for (int i = 0; i < 32; i++) y[i] = scale * (low[i] >> shift & 15) - floor;
      }
    }
    return;
  case TYPE_Q6_K:
    for (; blocks--; x += 210, y += 256) {
      float d = ISA(half)(x + 208);
      for (int g = 0; g < 16; g++) { // groups of 16 with a scale each
        int part = g / 8, at = g % 8 * 16;
        const uint8_t *low = x + 64 * part + at % 64, *high = x + 128 + 32 * part + at % 32;
        int l = at / 64 * 4, h = at / 32 * 2;
        float scale = d * (int8_t)x[192 + g];
        IVDEP for (int i = 0; i < 16; i++) y[16 * g + i] = scale * (((low[i] >> l & 15) | (high[i] >> h & 3) << 4) - 32);
      }
    }
    return;
  case TYPE_NF4:
    for (; blocks--; x += 134) {
      float d = ISA(half)(x);
      for (int g = 0; g < 4; g++, y += 64) {
        float scale = d * x[2 + g];
        const uint8_t *codes = x + 6 + 32 * g;
        IVDEP for (int i = 0; i < 64; i++) y[i] = scale * ISA(normal_float4)[codes[i / 2] >> i % 2 * 4 & 15];
      }
    }
  }
}
