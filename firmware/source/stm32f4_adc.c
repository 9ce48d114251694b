/* The ADC1 of STM32F4 and F7 on PA0, started by TIM2, an analogue microphone around half the supply behind it. Not run:
 * nobody has tried it on a board.
 *
 * F4: RM0390, 6.3 RCC, 7.4 GPIO, 13 ADC, 17 TIM2. F7: RM0385, which differs in the number of the trigger. The timer counts
 * PORT_CLOCK_HZ, as no bus is divided; the converter's clock is half of it. */
#include "source.h"

#define RCC_AHB1ENR REGISTER(0x40023830u)
#define RCC_APB1ENR REGISTER(0x40023840u)
#define RCC_APB2ENR REGISTER(0x40023844u)
#define GPIOA_MODER REGISTER(0x40020000u)
#define TIM2(offset) REGISTER(0x40000000u + (offset))
#define TIM_CR1 TIM2(0x00u)
#define TIM_CR2 TIM2(0x04u)
#define TIM_CNT TIM2(0x24u)
#define TIM_ARR TIM2(0x2Cu)
#define TRIGGER_ON_UPDATE (2u << 4)
#define ADC1(offset) REGISTER(0x40012000u + (offset))
#define ADC_SR ADC1(0x00u)
#define ADC_CR1 ADC1(0x04u)
#define ADC_CR2 ADC1(0x08u)
#define ADC_SMPR2 ADC1(0x10u)
#define ADC_DR ADC1(0x4Cu)
#define CONVERTED (1u << 1)
#define OVERRUN (1u << 5)
#define CONVERTED_INTERRUPT (1u << 5)
#define OVERRUN_INTERRUPT (1u << 26)
#define ON 1u
#define DETECT_OVERRUN (1u << 10) /* EOCS: without DMA nothing else does */
#if PORT_STM32_F7
#define TIM2_TRGO 11u
#else
#define TIM2_TRGO 6u
#endif
#define RISING_TIM2_TRGO (1u << 28 | TIM2_TRGO << 24)

_Static_assert(PORT_CLOCK_HZ / PORT_SOURCE_HZ >= 200u, "a conversion takes 84 + 12 cycles of half the clock");

static ofr_samples *samples;

/* An overrun stops conversions until its flag is cleared; which of two samples is left is not known, so both are lost. */
void port_source_interrupt(void) {
    const uint32_t status = ADC_SR;
    const int16_t sample = (int16_t)(((int32_t)(ADC_DR & 0xFFFu) - 2048) * 16); /* reading clears EOC */
    if (status & OVERRUN) {
        ADC_SR = ~OVERRUN;
        ofr_samples_lose(samples, 2);
    } else if (status & CONVERTED) {
        ofr_samples_put(samples, &sample, 1);
    }
}

static bool init(void) {
    RCC_AHB1ENR |= 1u;
    RCC_APB1ENR |= 1u;
    RCC_APB2ENR |= 1u << 8;
    (void)RCC_APB2ENR; /* the gates open two cycles later */
    GPIOA_MODER |= 3u; /* PA0 is analogue; the sequence's one channel is 0 after reset */
    ADC_SMPR2 = 4u;    /* 84 cycles */
    ADC_CR1 = CONVERTED_INTERRUPT | OVERRUN_INTERRUPT;
    ADC_CR2 = ON | DETECT_OVERRUN | RISING_TIM2_TRGO;
    TIM_CR2 = TRIGGER_ON_UPDATE;
    TIM_ARR = PORT_CLOCK_HZ / PORT_SOURCE_HZ - 1u;
    return true;
}

static bool start(ofr_samples *to) {
    samples = to;
    ADC_SR = 0u;
    (void)ADC_DR;
    source_interrupt(true);
    TIM_CNT = 0u;
    TIM_CR1 = ON;
    return true;
}

static void stop(void) {
    TIM_CR1 = 0u;
    source_interrupt(false);
}

const ofr_source port_source = {"stm32f4_adc", PORT_SOURCE_HZ, 1, OFR_S16, init, start, stop};
