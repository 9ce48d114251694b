/* The ADC1 of STM32H7 on PA3 and of STM32L4 on PA0, started by TIM2, an analogue microphone around half the supply behind
 * it. Not run: nobody has tried it on a board.
 *
 * H7, 16 bits: RM0433, 8.7 RCC, 25 ADC. L4, 12 bits moved to the left: RM0351, 6.4 RCC, 18 ADC. TIM2 counts PORT_CLOCK_HZ,
 * as no bus is divided. */
#include "source.h"

#if PORT_STM32_H7
#define RCC_ADC REGISTER(0x580244D8u) /* AHB1ENR */
#define RCC_ADC_BIT (1u << 5)
#define RCC_GPIO REGISTER(0x580244E0u) /* AHB4ENR */
#define RCC_TIM2 REGISTER(0x580244E8u) /* APB1LENR */
#define GPIOA_MODER REGISTER(0x58020000u)
#define PIN 3u
#define CHANNEL 15u
#define ADC1(offset) REGISTER(0x40022000u + (offset))
#define ADC_SAMPLE_TIME ADC1(0x18u) /* SMPR2: channels from 10 on */
#define SAMPLE_TIME 5u              /* 64.5 cycles, and 8.5 to convert */
#define CLOCK_MODE (3u << 16)       /* the bus's by 4: 16 MHz, which revisions from V on halve */
#define BOOST (2u << 8)             /* 12.5 to 25 MHz; does no harm below */
#define CONVERSION_TICKS 584u       /* 73 cycles of an eighth of the clock */
#define TIM2_TRGO (11u << 5)
#define LEFT 0u
#else
#define RCC_ADC REGISTER(0x4002104Cu) /* AHB2ENR */
#define RCC_ADC_BIT (1u << 13)
#define RCC_GPIO REGISTER(0x4002104Cu)
#define RCC_TIM2 REGISTER(0x40021058u) /* APB1ENR1 */
#define GPIOA_MODER REGISTER(0x48000000u)
#define GPIOA_ASCR REGISTER(0x4800002Cu)
#define PIN 0u
#define CHANNEL 5u
#define ADC1(offset) REGISTER(0x50040000u + (offset))
#define ADC_SAMPLE_TIME ADC1(0x14u) /* SMPR1: channels up to 9 */
#define SAMPLE_TIME 3u              /* 24.5 cycles, and 12.5 to convert */
#define CLOCK_MODE (1u << 16)       /* the bus's */
#define BOOST 0u
#define CONVERSION_TICKS 37u
#define TIM2_TRGO (11u << 6)
#define LEFT (1u << 5)
#endif

#define TIM2(offset) REGISTER(0x40000000u + (offset))
#define TIM_CR1 TIM2(0x00u)
#define TIM_CR2 TIM2(0x04u)
#define TIM_CNT TIM2(0x24u)
#define TIM_ARR TIM2(0x2Cu)
#define TRIGGER_ON_UPDATE (2u << 4)
#define ADC_ISR ADC1(0x00u)
#define ADC_IER ADC1(0x04u)
#define ADC_CR ADC1(0x08u)
#define ADC_CFGR ADC1(0x0Cu)
#define ADC_PCSEL ADC1(0x1Cu)
#define ADC_SQR1 ADC1(0x30u)
#define ADC_DR ADC1(0x40u)
#define ADC_COMMON ADC1(0x308u)
#define READY 1u
#define CONVERTED (1u << 2)
#define OVERRUN (1u << 4)
#define ENABLE 1u
#define START (1u << 2)
#define STOP (1u << 4)
#define REGULATOR (1u << 28)
#define CALIBRATE (1u << 31)
#define RISING (1u << 10)
#define OVERWRITE (1u << 12)

_Static_assert(PORT_CLOCK_HZ / PORT_SOURCE_HZ > CONVERSION_TICKS, "a conversion ends before the next begins");

static ofr_samples *samples;

/* After an overrun the later result stands in the place of the one before. */
void port_source_interrupt(void) {
    const uint32_t status = ADC_ISR;
    if (status & OVERRUN) {
        ADC_ISR = OVERRUN;
        ofr_samples_lose(samples, 1);
    }
    if ((status & CONVERTED) == 0) return;
    const int16_t sample = (int16_t)((int32_t)(ADC_DR & 0xFFFFu) - 32768); /* reading clears EOC */
    ofr_samples_put(samples, &sample, 1);
}

static void wait_20_us(void) {
    for (volatile uint32_t i = 0; i < PORT_CLOCK_HZ / 50000u; ++i) {
    }
}

/* Clocks, and the pin as an analogue one. */
static void connect(void) {
    RCC_ADC |= RCC_ADC_BIT;
    RCC_GPIO |= 1u;
    RCC_TIM2 |= 1u;
    (void)RCC_TIM2; /* the gates open two cycles later */
    GPIOA_MODER |= 3u << 2u * PIN;
#ifdef GPIOA_ASCR
    GPIOA_ASCR |= 1u << PIN;
#endif
}

static void calibrate(void) {
    ADC_COMMON = CLOCK_MODE;
    ADC_CR = 0u; /* out of deep power-down */
    ADC_CR = REGULATOR | BOOST;
    wait_20_us();
    ADC_CR = REGULATOR | BOOST | CALIBRATE;
    while (ADC_CR & CALIBRATE) {
    }
}

/* Within four of the converter's cycles after its calibration it does not keep the bit: it is asked again. */
static void enable(void) {
    ADC_ISR = READY;
    while (!(ADC_ISR & READY))
        if (!(ADC_CR & ENABLE)) ADC_CR = REGULATOR | BOOST | ENABLE;
}

static bool init(void) {
    connect();
    calibrate();
#if PORT_STM32_H7
    ADC_PCSEL = 1u << CHANNEL;
#endif
    ADC_SAMPLE_TIME = SAMPLE_TIME << 3u * (CHANNEL % 10u);
    ADC_SQR1 = CHANNEL << 6;
    ADC_CFGR = OVERWRITE | RISING | TIM2_TRGO | LEFT;
    ADC_IER = CONVERTED | OVERRUN;
    enable();
    TIM_CR2 = TRIGGER_ON_UPDATE;
    TIM_ARR = PORT_CLOCK_HZ / PORT_SOURCE_HZ - 1u;
    return true;
}

static bool start(ofr_samples *to) {
    samples = to;
    ADC_ISR = OVERRUN | CONVERTED;
    source_interrupt(true);
    ADC_CR |= START;
    TIM_CNT = 0u;
    TIM_CR1 = 1u;
    return true;
}

static void stop(void) {
    TIM_CR1 = 0u;
    source_interrupt(false);
    ADC_CR |= STOP;
    while (ADC_CR & STOP) {
    }
}

const ofr_source port_source = {"stm32h7_adc", PORT_SOURCE_HZ, 1, OFR_S16, init, start, stop};
